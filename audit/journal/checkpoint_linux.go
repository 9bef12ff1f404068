package journal

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// lastSums is how many records the last checkpoint lists: what closeRoom has
// room for.
const lastSums = 32

// checkpoint writes how far the chain has come. It does not wait for room: what
// it would have said, a later one says.
func (j *Journal) checkpoint(sign bool) error {
	c := &j.chain
	ev, signErr := c.build(sign)
	length := recordHeader + len(ev.Prepared.Fields)
	room := claim{size: align(int64(length)), spare: j.reserve / 2, try: true}
	if _, err := j.append(ev, checkpointType, ev.Time.UnixNano(), length, &room); err != nil {
		return err
	}
	c.sums, c.loose = c.sums[:0], 0
	if c.signer == nil {
		c.rotated, c.unsigned = false, 0
	}
	if sign && signErr == nil {
		c.rotated, c.unsigned, c.signed = false, 0, ev.Time
	}
	return signErr
}

// build makes the checkpoint for where the chain is. Where the signature fails,
// it is unsigned, and the error says why.
func (c *chain) build(sign bool) (ev *audit.Event, err error) {
	now := time.Now()
	var signature []byte
	if sign {
		signature, err = c.sign(now)
		if err != nil {
			err = fmt.Errorf("%w: a checkpoint cannot be signed: %w", audit.ErrBroken, err)
			c.signErr.Store(&err)
		} else {
			c.signErr.Store(nil)
		}
	}
	f := fields{b: c.body[:cap(c.body)]}
	f.always(fAtSegment, c.number)
	f.always(fAtOffset, uint64(c.end))
	f.always(fAtSequence, c.sequence)
	f.bytes(fChain, c.behind[:])
	f.bytes(fSums, c.sums)
	if signature != nil {
		f.str(fKey, c.key)
		f.bytes(fSignature, signature)
	}
	c.fields.Fields = f.b[:f.n]
	c.event = audit.Event{Type: audit.Checkpoint, Time: now, Prepared: &c.fields}
	return &c.event, err
}

// sign signs what FORMAT.md, section 9, says that a signature covers.
func (c *chain) sign(at time.Time) ([]byte, error) {
	m := c.seg.m
	sums := sha256.Sum256(c.sums)
	b := make([]byte, 0, 512)
	b = append(b, signedDomain...)
	b = append(b, m[offStream:offBoot]...)
	b = binary.LittleEndian.AppendUint64(b, c.number)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.end))
	b = binary.LittleEndian.AppendUint64(b, c.sequence)
	b = append(b, c.behind[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(at.UnixNano()))
	b = append(b, sums[:]...)
	node := int(binary.LittleEndian.Uint16(m[offNodeLen:]))
	b = append(b, m[offNodeLen:offNode+node]...)
	signature, err := c.signer.Sign(rand.Reader, b, crypto.Hash(0))
	if err == nil && len(signature) != ed25519.SignatureSize {
		err = fmt.Errorf("the signature has %d bytes", len(signature))
	}
	return signature, err
}

// SignError returns why the last checkpoint that was to be signed is not, and nil
// where it is. Records go on being written and chained meanwhile.
func (j *Journal) SignError() error {
	if err := j.chain.signErr.Load(); err != nil {
		return *err
	}
	return nil
}

// head is where a stream ended that no other stream tells of.
type head struct {
	stream   [16]byte
	sequence uint64
	chain    [32]byte
	dir      string // of the stream; no part of what is told
}

func (h *head) encode() []byte {
	b := append(make([]byte, 0, 56), h.stream[:]...)
	b = binary.LittleEndian.AppendUint64(b, h.sequence)
	return append(b, h.chain[:]...)
}

// startValue is what the chain of a new stream starts from.
func startValue(heads []head) (v [32]byte) {
	h := sha256.New()
	h.Write([]byte(startDomain))
	for i := range heads {
		h.Write(heads[i].encode())
	}
	h.Sum(v[:0])
	return v
}

// earlierFields encodes the heads for the stream's first record.
func earlierFields(heads []head) *audit.Prepared {
	const each = 6 + 56
	f := fields{b: make([]byte, each*len(heads))}
	for i := range heads {
		f.bytes(fEarlier, heads[i].encode())
	}
	return &audit.Prepared{Fields: f.b}
}
