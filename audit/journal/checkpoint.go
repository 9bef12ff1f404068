package journal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Checkpoint says how far the hash chain of a stream has come (FORMAT.md,
// section 9).
type Checkpoint struct {
	Stream    [16]byte // the stream's id
	Segment   uint64   // of the last record that it covers
	Offset    uint64   // behind that record
	Sequence  uint64   // of that record
	Chain     [32]byte // value of the chain there
	Sums      []byte   // CRC32C of the records before there, the last of them last
	Key       string   // id of the key; "": it is not signed
	Signature []byte
}

// Earlier is a stream that another one follows.
type Earlier struct {
	Stream   [16]byte
	Sequence uint64   // of its last record
	Chain    [32]byte // behind it
}

// KeptCheckpoint is a checkpoint that was kept outside the journal.
type KeptCheckpoint struct {
	Name string // of the stream's directory
	Node string
	Time time.Time
	Checkpoint
	sums [32]byte // SHA-256 of the sums
}

var errBytesField = errors.New("a field of bytes has a wrong size")

func (r *Record) checkpoint() *Checkpoint {
	if r.Checkpoint == nil {
		r.Checkpoint = &Checkpoint{}
	}
	return r.Checkpoint
}

// setBytes sets the fields that are bytes of a certain size.
func (r *Record) setBytes(id uint16, v []byte) error {
	switch {
	case id == 62 && len(v) == 32:
		r.TextDigest = hex.EncodeToString(v)
	case id == 70 && len(v) == 16:
		r.TraceID = hex.EncodeToString(v)
	case id == 71 && len(v) == 8:
		r.SpanID = hex.EncodeToString(v)
	case id == 74 && len(v) == 32:
		r.parameters().Digest = hex.EncodeToString(v)
	case id == 75:
		return r.parameters().decode(v)
	case id == 89 && len(v) == 32:
		r.CopyDigest = hex.EncodeToString(v)
	case id == 115 && len(v) == 32:
		copy(r.checkpoint().Chain[:], v)
	case id == 116 && len(v)%4 == 0:
		r.checkpoint().Sums = append([]byte(nil), v...)
	case id == 118 && len(v) == ed25519.SignatureSize:
		r.checkpoint().Signature = append([]byte(nil), v...)
	case id == 119 && len(v) == 56:
		r.Earlier = append(r.Earlier, Earlier{
			Stream: [16]byte(v), Sequence: binary.LittleEndian.Uint64(v[16:]), Chain: [32]byte(v[24:]),
		})
	default:
		return errBytesField
	}
	return nil
}

type jsonCheckpoint struct {
	StreamID  string `json:"stream_id"`
	Segment   uint64 `json:"segment"`
	Offset    uint64 `json:"offset"`
	Sequence  uint64 `json:"sequence"`
	Chain     string `json:"chain"`
	Sums      string `json:"sums_sha256"`
	Key       string `json:"key,omitempty"`
	Signature string `json:"signature,omitempty"`
}

type jsonEarlier struct {
	StreamID string `json:"stream_id"`
	Sequence uint64 `json:"sequence"`
	Chain    string `json:"chain"`
}

func (r *Record) jsonChain() (c *jsonCheckpoint, earlier []jsonEarlier) {
	for _, e := range r.Earlier {
		earlier = append(earlier, jsonEarlier{hex.EncodeToString(e.Stream[:]), e.Sequence, hex.EncodeToString(e.Chain[:])})
	}
	if p := r.Checkpoint; p != nil {
		sums := sha256.Sum256(p.Sums)
		c = &jsonCheckpoint{
			StreamID: hex.EncodeToString(p.Stream[:]), Segment: p.Segment, Offset: p.Offset, Sequence: p.Sequence,
			Chain: hex.EncodeToString(p.Chain[:]), Sums: hex.EncodeToString(sums[:]),
			Key: valid(p.Key), Signature: base64.StdEncoding.EncodeToString(p.Signature),
		}
	}
	return c, earlier
}

// ParseCheckpoint reads a checkpoint from the JSON line that a Record is printed
// as.
func ParseCheckpoint(line []byte) (*KeptCheckpoint, error) {
	var j struct {
		Time       string          `json:"time"`
		Type       string          `json:"type"`
		Stream     string          `json:"stream"`
		Node       string          `json:"node"`
		Checkpoint *jsonCheckpoint `json:"checkpoint"`
	}
	if err := json.Unmarshal(line, &j); err != nil {
		return nil, fmt.Errorf("not a JSON line of a checkpoint: %w", err)
	}
	if j.Type != "checkpoint" || j.Checkpoint == nil {
		return nil, fmt.Errorf("a record of type %q: a checkpoint is needed", j.Type)
	}
	k := &KeptCheckpoint{Name: j.Stream, Node: j.Node}
	p := j.Checkpoint
	k.Segment, k.Offset, k.Sequence, k.Key = p.Segment, p.Offset, p.Sequence, p.Key
	var err error
	if k.Time, err = time.Parse(time.RFC3339Nano, j.Time); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		to   []byte
		text string
	}{{k.Stream[:], p.StreamID}, {k.Chain[:], p.Chain}, {k.sums[:], p.Sums}} {
		if b, err := hex.DecodeString(f.text); err != nil || copy(f.to, b) != len(f.to) || len(b) != len(f.to) {
			return nil, fmt.Errorf("%q is not %d bytes in hexadecimal", f.text, len(f.to))
		}
	}
	if k.Signature, err = base64.StdEncoding.DecodeString(p.Signature); err != nil {
		return nil, fmt.Errorf("the signature is not base64: %w", err)
	}
	return k, nil
}

// signedBy says whether the checkpoint carries the key's signature.
func (k *KeptCheckpoint) signedBy(key ed25519.PublicKey) bool {
	b := []byte("pgcustos checkpoint 2\n")
	b = append(b, k.Stream[:]...)
	for _, v := range []uint64{k.Segment, k.Offset, k.Sequence} {
		b = append(b, u64le(v)...)
	}
	b = append(b, k.Chain[:]...)
	b = append(b, u64le(uint64(k.Time.UnixNano()))...)
	b = append(b, k.sums[:]...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(k.Node)))
	b = append(b, k.Node...)
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, b, k.Signature)
}
