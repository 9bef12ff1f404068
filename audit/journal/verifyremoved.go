package journal

import (
	"crypto/ed25519"
	"fmt"
)

// removedCheck is what the tombstones of a journal say.
type removedCheck struct {
	byID map[[16]byte]*Tombstone
	keys map[string]ed25519.PublicKey // none: signatures are not looked at
}

// readRemoved reads the tombstones, and finds those that say nothing.
func (v *verifier) readRemoved() error {
	r := &removedCheck{byID: map[[16]byte]*Tombstone{}, keys: map[string]ed25519.PublicKey{}}
	for _, key := range v.options.Keys {
		r.keys[KeyID(key)] = key
	}
	v.removed = r
	all, err := readTombstones(v.options.Path, func(file string, err error) {
		v.findings = append(v.findings, Finding{Stream: tombstoneFolder, Segment: 1, Reason: fmt.Sprintf("%s cannot be used: %v", file, err)})
	})
	if err != nil {
		return err
	}
	for _, t := range all {
		if len(r.keys) > 0 && !t.signedBy(r.keys) {
			v.findings = append(v.findings, Finding{
				Stream: t.Name, Segment: t.Segment, Sequence: t.Last, Reason: "the tombstone is not signed by the key (" + keyNames(v.options.Keys) + "): whoever removed the segments cannot be known",
			})
			continue
		}
		r.byID[t.Stream] = t
	}
	return nil
}

// told is what a note says of a removal.
func (t *Tombstone) told() string {
	what := "its beginning"
	if t.Whole {
		what = "all of it"
	}
	return fmt.Sprintf("stream %s: retention removed %s, up to record %d of %s in segment %d, for %s, at %s",
		t.Name, what, t.Last, t.Latest.Format("2006-01-02T15:04:05Z"), t.Segment, t.Why, t.At.Format("2006-01-02T15:04:05Z"))
}

// ends says whether a stream that is not there any more came to this.
func (t *Tombstone) ends(e *Earlier) bool {
	return t != nil && t.Whole && t.Last == e.Sequence && t.Behind == e.Chain
}

// behindRemoved starts the stream behind what was removed of it; without a tombstone
// that says so it is a finding.
func (s *streamCheck) behindRemoved(first uint64) bool {
	t := s.removed
	if t == nil {
		return first == 1
	}
	switch first {
	case t.Segment + 1:
		s.chain.value, s.dark = t.Behind, t.Last
	case t.Segment:
		s.chain.value, s.dark = t.Before, t.First-1 // it was about to be removed
	default:
		return false
	}
	s.reader.last, s.reader.known, s.reader.stream = s.dark, true, t.Stream
	s.good, s.proven, s.behind = s.dark, s.dark, place{first, 4096}
	if len(s.keys) > 0 {
		s.covered = t.At
	} else {
		s.proven = 0
	}
	return true
}

// passedRemoved compares the chain behind a segment that was about to be removed with
// what its tombstone says.
func (s *streamCheck) passedRemoved(seg *segmentReader) {
	if t := s.removed; t != nil && t.Segment == seg.head.number && t.Behind != s.chain.value {
		s.find(s.good+1, fmt.Sprintf("one of the records %d to %d was changed: the tombstone has another chain value", s.good+1, s.reader.last))
	}
}
