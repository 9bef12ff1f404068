package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// passLock verifies an encrypted segment that cannot be read, as far as its lock tells.
func (s *streamCheck) passLock(seg *segmentReader, f *lockedFile) {
	l := f.lock
	s.entered = seg.head.number
	s.segments++
	s.sealed++
	s.sealedRecords += l.records()
	s.records += l.records()
	s.tried = s.tried || f.tried
	if seg.head.number == 1 {
		s.chain.value = seg.head.start
		if seg.head.start != startOf(l.Earlier) {
			s.findAt(1, 528, 1, "the chain does not start from the streams that the lock names")
		}
	}
	if l.Before != s.chain.value {
		s.find(s.good+1, fmt.Sprintf("one of the records %d to %d was changed, or the lock of segment %d: it has another chain value", s.good+1, l.First, l.Segment))
	}
	s.proveFiles(seg, l)
	s.chain.value = l.Behind
	if l.Why != 1 && seg.seal.chain != l.Behind {
		s.findAt(l.Segment, 0, l.First, "the lock has another chain value than the segment's seal")
	}
	s.wantInLock(l)
	s.links, s.first = nil, 0
	s.good, s.dark = l.Last, l.Last
	if len(s.keys) > 0 {
		s.proven, s.covered, s.behind = l.Last, l.At, place{l.Segment + 1, headerSize}
		s.unsigned, s.closing = 0, true
	} else {
		s.unsigned += l.records()
	}
}

// proveFiles proves the lock's signature, and that the encrypted files are those that it
// names.
func (s *streamCheck) proveFiles(seg *segmentReader, l *Lock) {
	tell := func(what string, err error) {
		switch {
		case err == nil:
		case errors.Is(err, errBlobChanged):
			s.findAt(l.Segment, 0, l.First, what+" is not the one that its lock names: it was changed, or put in")
		case errors.Is(err, fs.ErrNotExist):
			s.findAt(l.Segment, 0, l.First, what+" is missing")
		default:
			s.findAt(l.Segment, 0, l.First, fmt.Sprintf("%s cannot be read: %v", what, err))
		}
	}
	if len(s.keys) > 0 && !l.signedBy(s.keys) {
		s.findAt(l.Segment, 0, l.First, "the lock of the encrypted segment is not signed by the key: what it says is not proven")
	}
	tell("the encrypted segment", sumFile(seg.path, l.Container.Sum, l.Container.Size))
	tell("the encrypted index", sumFile(filepath.Join(s.reader.dir, lockedIndexName(l.Segment)), l.Index.Sum, l.Index.Size))
	for _, sum := range l.Blobs {
		tell(fmt.Sprintf("the encrypted blob %x…", sum[:8]), s.blobs.checkSealed(sum))
	}
}

// wantInLock holds what is known of the stream from outside against a lock.
func (s *streamCheck) wantInLock(l *Lock) {
	for _, w := range s.wanted {
		if w.last || w.sequence < l.First || w.sequence > l.Last {
			continue
		}
		if w.sequence == l.Last && l.Why != 1 {
			if w.chain != l.Behind {
				s.find(s.good+1, fmt.Sprintf("one of the records %d to %d was changed: %s has another chain value", s.good+1, l.Last, w.by))
			}
			continue
		}
		s.note("stream %s: %s is of record %d, which is encrypted: without an identity it proves nothing", s.reader.name, w.by, w.sequence)
	}
}

// proveLock holds the lock of an encrypted segment that was read against what was read
// of it. x is its index, made anew.
func (s *streamCheck) proveLock(seg *segmentReader, x *indexer) {
	l := seg.lock
	if l == nil || s.finding != nil {
		return
	}
	s.proveFiles(seg, l)
	var header [headerSize]byte
	_, err := seg.file.ReadAt(header[:], 0)
	sealed, missing := seg.head.sealed.list()
	earlier := []byte{}
	for i := range l.Earlier {
		earlier = append(earlier, l.Earlier[i].encode()...)
	}
	seen := &x.label
	same := err == nil && missing == nil && header == l.header && seg.seal.whole == l.seal && seen.Before == l.Before && seen.Behind == l.Behind &&
		seen.Size == l.Size && bytes.Equal(earlier, x.earlier) && slices.Equal(sealed, l.Blobs) &&
		(l.records() == 0 || x.whole.earliest == l.Earliest.UnixNano() && x.whole.latest == l.Latest.UnixNano())
	if !same {
		s.findAt(l.Segment, 0, l.First, "the lock does not tell what the segment holds")
	}
	if len(s.keys) > 0 && s.finding == nil && l.Last > s.proven {
		s.proven, s.covered, s.behind = l.Last, l.At, place{l.Segment, seg.off}
		s.unsigned, s.closing = 0, true
	}
}

// sealedNote tells what could not be read.
func (s *streamCheck) sealedNote() {
	if s.sealed == 0 {
		return
	}
	why := "--identity FILE reads them"
	if s.tried {
		why = "no identity that was given opens them"
	}
	s.note("stream %s: encrypted segments: %d, with %d records: the locks, the chain between them and the encrypted files were proven, the records were not read: %s",
		s.reader.name, s.sealed, s.sealedRecords, why)
}
