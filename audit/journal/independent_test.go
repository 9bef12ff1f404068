package journal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// This verifier was written from audit/FORMAT.md alone: it shares no code with
// the package, and reads finished streams only.

type independent struct {
	key   ed25519.PublicKey
	ends  map[string]string // stream id → last sequence and chain
	named map[string]string // stream id → the same, as younger streams say

	// Of the stream that is read.
	id     string
	node   []byte
	c      [32]byte
	seq    uint64
	at     map[uint64]mark
	signed int
	last   bool // the last record is a signed checkpoint of all before it
}

type mark struct {
	c            [32]byte
	segment, end uint64
	sum          []byte
}

// verifyIndependently returns the number of records and of signed checkpoints.
func verifyIndependently(path string, key ed25519.PublicKey) (records uint64, signed int, err error) {
	v := &independent{key: key, ends: map[string]string{}, named: map[string]string{}}
	dirs, err := filepath.Glob(filepath.Join(path, "*-*-????????????????"))
	if err != nil {
		return 0, 0, err
	}
	for _, dir := range dirs {
		if err := v.stream(dir); err != nil {
			return records, v.signed, fmt.Errorf("%s: %w", filepath.Base(dir), err)
		}
		records += v.seq
	}
	for id, end := range v.named {
		if v.ends[id] != end {
			return records, v.signed, fmt.Errorf("stream %s ends as %q, and is said to end as %q", id, v.ends[id], end)
		}
	}
	return records, v.signed, nil
}

func (v *independent) stream(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		return err
	}
	sort.Strings(files)
	v.id, v.seq, v.at = "", 0, map[uint64]mark{}
	for i, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("%08d.seg", i+1); filepath.Base(file) != want {
			return fmt.Errorf("%s where %s must be", file, want)
		}
		if i > 0 && i == len(files)-1 && waiting(b) {
			break
		}
		why, err := v.segment(b, uint64(i+1))
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		if last := i == len(files)-1; last == (why == 1) {
			return fmt.Errorf("%s: a seal of kind %d", file, why)
		}
	}
	v.ends[v.id] = fmt.Sprintf("%d %x", v.seq, v.c)
	return nil
}

// waiting reports whether a segment has not begun, and was cut to its header: its writer
// ended behind the seal before it, and it tells that nothing is missing there.
func waiting(b []byte) bool {
	return len(b) == 4096 && binary.LittleEndian.Uint32(b[1020:]) == 0
}

func (v *independent) segment(b []byte, number uint64) (why uint32, err error) {
	le := binary.LittleEndian
	table := crc32.MakeTable(crc32.Castagnoli)
	if string(b[:8]) != "PGCUSTOS" || le.Uint32(b[8:]) != 3 || le.Uint64(b[24:]) != number || le.Uint64(b[512:]) != v.seq+1 {
		return 0, fmt.Errorf("the header is wrong")
	}
	seed := crc32.Checksum(append(append([]byte(nil), b[48:64]...), b[24:32]...), table)
	if le.Uint32(b[508:]) != crc32.Checksum(b[:508], table) || le.Uint32(b[1016:]) != crc32.Update(seed, table, b[512:1016]) || le.Uint32(b[1020:]) != 1 {
		return 0, fmt.Errorf("the header's sums are wrong")
	}
	if number == 1 {
		v.id, v.node = hex.EncodeToString(b[48:64]), b[82:82+int(le.Uint16(b[80:]))]
		v.c = [32]byte(b[528:560])
	} else if strings.Trim(string(b[528:560]), "\x00") != "" || v.id != hex.EncodeToString(b[48:64]) {
		return 0, fmt.Errorf("the header does not belong here")
	}
	start := v.c
	v.c = linked(v.c, b[:1024])
	records := uint64(0)
	for p := uint64(4096); ; {
		length := uint64(le.Uint32(b[p:]))
		end := p + (length+7)/8*8
		r := b[p : p+length]
		if le.Uint32(r[4:]) != crc32.Update(crc32.Update(seed, table, r[:4]), table, r[8:]) {
			return 0, fmt.Errorf("the sum at %d is wrong", p)
		}
		check := crc32.Update(crc32.Update(crc32.Update(seed, table, r[:4]), table, r[8:28]), table, r[32:40])
		if le.Uint32(r[28:]) != check {
			return 0, fmt.Errorf("the header's sum at %d is wrong", p)
		}
		if le.Uint16(r[24:]) == 65535 {
			return v.seal(r, b[end:], records)
		}
		if v.seq++; le.Uint64(r[8:]) != v.seq {
			return 0, fmt.Errorf("sequence %d at %d", le.Uint64(r[8:]), p)
		}
		records++
		if v.seq == 1 {
			if le.Uint16(r[24:]) != 14 {
				return 0, fmt.Errorf("record 1 at %d is not journal.opened", p)
			}
			if err := v.first(r, start); err != nil {
				return 0, err
			}
		}
		v.c = linked(v.c, b[p:end])
		v.at[v.seq] = mark{v.c, number, end, r[4:8]}
		v.last = false
		if le.Uint16(r[24:]) == 15 {
			if err := v.checkpoint(r); err != nil {
				return 0, fmt.Errorf("the checkpoint at %d: %w", p, err)
			}
		}
		p = end
	}
}

func (v *independent) seal(r, behind []byte, records uint64) (uint32, error) {
	le := binary.LittleEndian
	why := le.Uint32(r[40:])
	if len(r) != 96 || le.Uint64(r[8:]) != v.seq || le.Uint64(r[48:]) != records || strings.Trim(string(behind), "\x00") != "" {
		return 0, fmt.Errorf("the seal is wrong")
	}
	switch {
	case why == 1 && strings.Trim(string(r[64:96]), "\x00") == "":
		v.c = linked(v.c, r)
	case (why == 2 && (v.last || v.key == nil) || why == 3) && v.c == [32]byte(r[64:96]):
	default:
		return 0, fmt.Errorf("the seal of kind %d is wrong", why)
	}
	return why, nil
}

// first reads the streams that the first record names.
func (v *independent) first(r []byte, start [32]byte) error {
	all := []byte("pgcustos journal 2\n")
	for _, f := range split(r[40:]) {
		if f.id != 119 {
			continue
		}
		all = append(all, f.value...)
		v.named[hex.EncodeToString(f.value[:16])] = fmt.Sprintf("%d %x", binary.LittleEndian.Uint64(f.value[16:]), f.value[24:])
	}
	if sha256.Sum256(all) != start {
		return fmt.Errorf("the chain starts elsewhere")
	}
	return nil
}

func (v *independent) checkpoint(r []byte) error {
	le := binary.LittleEndian
	var sums, key, signature []byte
	fields := split(r[40:])
	for i, f := range fields {
		switch {
		case i < 4 && f.id == uint16(112+i):
		case f.id == 116:
			sums = f.value
		case f.id == 117:
			key = f.value
		case f.id == 118:
			signature = f.value
		default:
			return fmt.Errorf("field %d", f.id)
		}
	}
	sequence := le.Uint64(fields[2].value)
	m, ok := v.at[sequence]
	if !ok || sequence >= v.seq || m.c != [32]byte(fields[3].value) || m.segment != le.Uint64(fields[0].value) || m.end != le.Uint64(fields[1].value) {
		return fmt.Errorf("it covers what was not read")
	}
	n := uint64(len(sums) / 4)
	for i := range n {
		if string(v.at[sequence-n+1+i].sum) != string(sums[4*i:4*i+4]) {
			return fmt.Errorf("the sum of record %d is another", sequence-n+1+i)
		}
	}
	if v.key == nil || key == nil {
		return nil
	}
	id, _ := hex.DecodeString(v.id)
	listed := sha256.Sum256(sums)
	b := append([]byte("pgcustos checkpoint 2\n"), id...)
	b = append(b, fields[0].value...)
	b = append(b, fields[1].value...)
	b = append(b, fields[2].value...)
	b = append(b, m.c[:]...)
	b = append(b, r[16:24]...)
	b = append(b, listed[:]...)
	b = le.AppendUint16(b, uint16(len(v.node)))
	b = append(b, v.node...)
	whose := sha256.Sum256(v.key)
	if string(key) != hex.EncodeToString(whose[:8]) || !ed25519.Verify(v.key, b, signature) {
		return fmt.Errorf("the signature is wrong")
	}
	v.signed++
	v.last = sequence == v.seq-1
	return nil
}

type rawField struct {
	id    uint16
	value []byte
}

func split(body []byte) (fields []rawField) {
	for len(body) > 0 {
		n := binary.LittleEndian.Uint32(body[2:])
		fields = append(fields, rawField{binary.LittleEndian.Uint16(body), body[6 : 6+n]})
		body = body[6+n:]
	}
	return fields
}

func linked(c [32]byte, b []byte) [32]byte {
	return sha256.Sum256(append(c[:], b...))
}
