package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

func sha256Sum(b []byte) [32]byte { return sha256.Sum256(b) }

// checkpoint compares a checkpoint with the chain, and proves its signature.
func (s *streamCheck) checkpoint(raw *rawRecord) {
	p, ok := parseCheckpoint(raw)
	if !ok {
		s.find(raw.sequence, "the checkpoint has not the form of one")
		return
	}
	if !s.sameSums(p, raw.sequence) {
		return
	}
	if p.Sequence <= s.dark && p.Sequence > 0 {
		s.signed(p, raw) // of what nobody can read any more it proves nothing
		return
	}
	if p.Sequence >= raw.sequence || p.Sequence < s.first || p.Sequence < s.good {
		s.find(raw.sequence, fmt.Sprintf("a checkpoint of record %d, which is not where one must be", p.Sequence))
		return
	}
	l := &s.links[p.Sequence-s.first]
	if l.chain != p.Chain || l.segment != p.Segment || uint64(l.end) != p.Offset {
		s.find(s.good+1, fmt.Sprintf("one of the records %d to %d was changed: the checkpoint in record %d has another chain value", s.good+1, p.Sequence, raw.sequence))
		return
	}
	if p.Key != "" && !s.signature(p, raw) {
		return
	}
	s.good = p.Sequence
	// What is before the last covered record is not asked for again.
	s.links = slices.Delete(s.links, 0, int(p.Sequence-s.first))
	s.first = p.Sequence
}

// sameSums compares the list of checksums: it names the record that differs,
// where whoever changed it could not change the list.
func (s *streamCheck) sameSums(p *Checkpoint, at uint64) bool {
	n := uint64(len(p.Sums) / 4)
	for i := range n {
		sequence := p.Sequence - n + 1 + i
		if sequence < s.first || sequence-s.first >= uint64(len(s.links)) {
			continue // there is no such record: a checkpoint that says so is refused
		}
		if !bytes.Equal(s.links[sequence-s.first].sum[:], p.Sums[4*i:4*i+4]) {
			s.find(sequence, fmt.Sprintf("the record was changed, or put in: the checkpoint in record %d lists another one in its place", at))
			return false
		}
	}
	return true
}

// signed proves the signature where its key is known. One of another key proves
// nothing, and is not wrong.
func (s *streamCheck) signed(p *Checkpoint, raw *rawRecord) (known, right bool) {
	key, known := s.keys[p.Key]
	if !known {
		return false, true
	}
	k := KeptCheckpoint{Node: s.reader.cur.head.node, Time: raw.at(), Checkpoint: *p, sums: sha256Sum(p.Sums)}
	k.Stream = s.reader.stream
	if right = k.signedBy(key); !right {
		s.find(s.proven+1, fmt.Sprintf("the checkpoint in record %d does not carry the signature that it claims: what is behind record %d is not proven", raw.sequence, s.proven))
	}
	return true, right
}

// signature proves the signature, and notes how far it proves the stream.
func (s *streamCheck) signature(p *Checkpoint, raw *rawRecord) bool {
	if known, right := s.signed(p, raw); !known || !right {
		return right
	}
	s.proven, s.covered = p.Sequence, raw.at()
	s.behind = place{p.Segment, int64(p.Offset)}
	s.unsigned = raw.sequence - p.Sequence - 1
	s.closing = s.unsigned == 0
	return true
}

// parseCheckpoint reads a checkpoint that is exactly as section 9 says: what is
// not signed has no place in it.
func parseCheckpoint(raw *rawRecord) (*Checkpoint, bool) {
	var r Record
	if r.decode(raw.body) != nil || r.Checkpoint == nil || raw.flags != 0 {
		return nil, false
	}
	p := r.Checkpoint
	var ids []uint16
	for b := raw.body; len(b) >= 6; {
		ids = append(ids, binary.LittleEndian.Uint16(b))
		b = b[6+binary.LittleEndian.Uint32(b[2:]):]
	}
	want := []uint16{112, 113, 114, 115}
	if len(p.Sums) > 0 {
		want = append(want, 116)
	}
	if p.Key != "" {
		want = append(want, 117, 118)
	}
	return p, slices.Equal(ids, want) && len(p.Sums) <= 4096
}
