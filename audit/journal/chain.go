package journal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
)

// chainReader computes the chain as it is read (FORMAT.md, section 8).
type chainReader struct {
	hash  hash.Hash
	value [32]byte
}

func (c *chainReader) link(b []byte) {
	if c.hash == nil {
		c.hash = sha256.New()
	}
	c.hash.Reset()
	c.hash.Write(c.value[:])
	c.hash.Write(b)
	c.hash.Sum(c.value[:0])
}

// chainAtEnd computes the chain behind the last record of a stream that nobody
// writes, from its newest checkpoint on. It believes that checkpoint: where it was
// changed, verify says so.
func chainAtEnd(dir string, numbers []uint64) ([32]byte, error) {
	from := &Checkpoint{}
	for i := len(numbers) - 1; i >= 0; i-- {
		newest, err := newestCheckpoint(dir, numbers[i])
		if err != nil {
			return [32]byte{}, err
		}
		if newest != nil {
			from = newest
			break
		}
	}
	c := chainReader{value: from.Chain}
	for _, number := range numbers {
		if number < from.Segment {
			continue
		}
		if err := c.through(dir, number, from); err != nil {
			return [32]byte{}, err
		}
	}
	return c.value, nil
}

// through links a segment, behind the checkpoint where that is in it.
func (c *chainReader) through(dir string, number uint64, from *Checkpoint) error {
	seg, err := openSegment(dir, number)
	if err != nil {
		return err
	}
	defer seg.close()
	if !seg.head.begun || seg.lock != nil {
		return nil // what is encrypted is before from
	}
	if from.Segment == 0 && number == 1 {
		c.value = seg.head.start
	}
	if number != from.Segment {
		c.link(seg.head.chained[:])
	}
	for {
		raw, hole, err := seg.read()
		switch {
		case errors.Is(err, io.EOF):
			if seg.seal.why == 1 {
				c.link(seg.seal.whole[:])
			}
			return nil
		case err != nil || hole != nil:
			return err
		case number != from.Segment || raw.offset >= int64(from.Offset):
			c.link(raw.whole)
		}
	}
}

// newestCheckpoint returns the last checkpoint in a segment, nil where there is
// none. The lock of an encrypted one stands for that.
func newestCheckpoint(dir string, number uint64) (*Checkpoint, error) {
	seg, err := openSegment(dir, number)
	if err != nil {
		return nil, err
	}
	defer seg.close()
	if seg.lock != nil {
		return &Checkpoint{Segment: number, Offset: math.MaxUint64, Chain: seg.lock.Behind}, nil
	}
	var newest *Checkpoint
	for seg.head.begun {
		raw, hole, err := seg.read()
		if errors.Is(err, io.EOF) || err == nil && hole != nil {
			break
		}
		if err != nil {
			return nil, err
		}
		if raw.number != 15 {
			continue
		}
		var r Record
		if err := r.decode(raw.body); err != nil {
			return nil, seg.corrupt(raw.offset, err.Error())
		}
		p := r.checkpoint()
		if p.Segment < 1 || p.Segment > seg.head.number || p.Sequence >= raw.sequence {
			return nil, seg.corrupt(raw.offset, fmt.Sprintf("a checkpoint of what is not before it (record %d)", p.Sequence))
		}
		newest = p
	}
	return newest, nil
}

// firstRecord returns a stream's first segment's header, and the streams that its
// first record says it follows.
func firstRecord(dir string) (*segmentHeader, []Earlier, error) {
	numbers, err := segmentNumbers(dir)
	if err != nil {
		return nil, nil, err
	}
	if len(numbers) == 0 {
		return nil, nil, io.EOF
	}
	seg, err := openSegment(dir, numbers[0])
	if err != nil {
		return nil, nil, err
	}
	defer seg.close()
	if !seg.head.begun || seg.head.first != 1 {
		return seg.head, nil, nil
	}
	if seg.lock != nil {
		return seg.head, seg.lock.Earlier, nil
	}
	raw, hole, err := seg.read()
	if err != nil || hole != nil {
		return seg.head, nil, ignoreEnd(err)
	}
	var r Record
	if err := r.decode(raw.body); err != nil {
		return seg.head, nil, seg.corrupt(raw.offset, err.Error())
	}
	return seg.head, r.Earlier, nil
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
