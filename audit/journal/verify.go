package journal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// VerifyOptions say what is verified, and against what.
type VerifyOptions struct {
	Path string
	// Keys are the public keys of those who may have signed. Without any, the
	// chain is verified and signatures are not: whoever can write to the journal
	// could have made all of it anew.
	Keys []ed25519.PublicKey
	// Identities read what is encrypted. Without them its records are not read: the
	// ciphertexts, the signatures of the locks and the chain between them are proven.
	Identities *Identities
	// Kept is a checkpoint that was kept outside the journal; nil: none.
	Kept *KeptCheckpoint
}

// Finding is the first place in a stream where it is not what was written.
type Finding struct {
	Stream   string // the name of its directory
	Segment  uint64
	Offset   int64  // in the segment
	Sequence uint64 // of the first record that is concerned
	Reason   string
}

func (f *Finding) String() string {
	return fmt.Sprintf("stream %s, segment %d, offset %d, record %d: %s", f.Stream, f.Segment, f.Offset, f.Sequence, f.Reason)
}

// VerifiedStream is what was read of a stream.
type VerifiedStream struct {
	Name     string
	Segments int
	Records  uint64
	Bytes    int64 // of records, with padding
	Finished bool  // it has its last seal
	// Covered is the time of the newest signature that covers the stream's
	// records, in it or in a stream that follows; zero where there is none.
	Covered  time.Time
	Unsigned uint64 // records behind the last that a signature covers
}

// Verification is the result: the journal is what was written where Findings is
// empty.
type Verification struct {
	Streams  []VerifiedStream // in the order of their starts
	Findings []Finding
	// Notes tell what is as it may be and should be known: one line each.
	Notes []string
}

// ErrNothing says that there is nothing to verify: what holds no record is no journal, or
// one of which all was taken away.
var ErrNothing = errors.New("there is no record, nor word of one that was removed: nothing was proven")

// Verify reads a whole journal and proves its checksums, its chains and its
// signatures, also while it is written. The error is of reading, or ErrNothing; tampering is
// in Findings.
func Verify(ctx context.Context, o VerifyOptions) (*Verification, error) {
	if err := o.CheckKept(); err != nil {
		return nil, err
	}
	reader := Reader{path: o.Path, names: map[string]bool{}}
	if err := reader.look(); err != nil {
		return nil, err
	}
	v := &verifier{options: &o, byID: map[[16]byte]*streamCheck{}}
	if err := v.readRemoved(); err != nil {
		return nil, err
	}
	blobs := &blobCheck{journal: o.Path, seen: map[blobID]error{}}
	for _, s := range reader.streams {
		check := newStreamCheck(s.dir, s.name, o.Keys)
		check.blobs = blobs
		check.reader.keys, check.reader.passing = o.Identities, true
		v.streams = append(v.streams, check)
	}
	v.expect()
	if err := v.readAll(ctx); err != nil {
		return nil, err
	}
	v.prove()
	r := v.result()
	if len(r.Findings) == 0 && len(v.removed.byID) == 0 && !slices.ContainsFunc(r.Streams, func(s VerifiedStream) bool { return s.Records > 0 }) {
		return nil, fmt.Errorf("%s: %w", o.Path, ErrNothing)
	}
	return r, nil
}

// CheckKept proves the signature of the kept checkpoint, where there are keys: it
// is what the journal is held against.
func (o *VerifyOptions) CheckKept() error {
	if o.Kept != nil && len(o.Keys) > 0 && !o.Kept.signedByAny(o.Keys) {
		return fmt.Errorf("the checkpoint that was kept does not carry a signature of the public key (%s)", keyNames(o.Keys))
	}
	return nil
}

func (k *KeptCheckpoint) signedByAny(keys []ed25519.PublicKey) bool {
	for _, key := range keys {
		if KeyID(key) == k.Key && k.signedBy(key) {
			return true
		}
	}
	return false
}

func keyNames(keys []ed25519.PublicKey) string {
	var b bytes.Buffer
	for i, key := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(KeyID(key))
	}
	return b.String()
}

// verifier verifies a journal.
type verifier struct {
	options  *VerifyOptions
	streams  []*streamCheck
	byID     map[[16]byte]*streamCheck
	removed  *removedCheck
	findings []Finding // of what is not there
	notes    []string
}

// expect looks at how the streams begin: what each says of earlier ones is what
// those must come to.
func (v *verifier) expect() {
	for _, s := range v.streams {
		h, earlier, err := firstRecord(s.reader.dir)
		if err != nil {
			continue // reading it will say why
		}
		if twin := v.byID[h.stream]; twin != nil {
			v.findings = append(v.findings, Finding{
				Stream: s.reader.name, Segment: 1, Sequence: 1, Reason: "it is a copy of stream " + twin.reader.name,
			})
			continue
		}
		s.id, s.earlier, s.removed = h.stream, earlier, v.removed.byID[h.stream]
		v.byID[h.stream] = s
	}
	for _, s := range v.streams {
		for _, e := range s.earlier {
			v.expectEnd(s, s.reader.name, e)
		}
	}
	for _, t := range v.removed.byID {
		for _, e := range t.Earlier {
			v.expectEnd(v.byID[t.Stream], t.Name, e)
		}
		if !t.Whole && v.byID[t.Stream] == nil {
			v.findings = append(v.findings, Finding{
				Stream: t.Name, Segment: t.Segment + 1, Sequence: t.Last + 1, Reason: "the rest of the stream is missing: its tombstone says that more was there",
			})
		}
		v.notes = append(v.notes, t.told())
	}
	slices.Sort(v.notes)
	if k := v.options.Kept; k != nil {
		to, gone := v.byID[k.Stream], v.removed.byID[k.Stream]
		if gone != nil && k.Sequence <= gone.Last {
			v.notes = append(v.notes, "what the checkpoint covers that was kept was removed by retention: it proves nothing more")
			return
		}
		if to == nil {
			v.findings = append(v.findings, Finding{
				Stream: k.Name, Segment: k.Segment, Offset: int64(k.Offset), Sequence: 1, Reason: "the stream of the checkpoint that was kept is missing",
			})
			return
		}
		to.wanted = append(to.wanted, wanted{sequence: k.Sequence, chain: k.Chain, by: "the checkpoint that was kept"})
	}
}

// expectEnd holds a stream against what follower says it came to: the stream of s, or
// of a tombstone, where s may be nil.
func (v *verifier) expectEnd(s *streamCheck, follower string, e Earlier) {
	to := v.byID[e.Stream]
	if to == nil && v.removed.byID[e.Stream].ends(&e) {
		return
	}
	if to == nil {
		v.findings = append(v.findings, Finding{
			Stream: "…-" + hex.EncodeToString(e.Stream[:8]), Segment: 1, Sequence: 1,
			Reason: fmt.Sprintf("the stream is missing, with its %d records: stream %s follows it", e.Sequence, follower),
		})
		return
	}
	if s != nil {
		to.followers = append(to.followers, s)
	}
	to.wanted = append(to.wanted, wanted{sequence: e.Sequence, chain: e.Chain, last: true, by: "stream " + follower + ", which follows it,"})
}

// readAll reads the streams, as many at once as there are processors.
func (v *verifier) readAll(ctx context.Context) error {
	var wg sync.WaitGroup
	work := make(chan *streamCheck)
	errs := make([]error, max(1, min(runtime.GOMAXPROCS(0), len(v.streams))))
	for i := range errs {
		wg.Go(func() {
			for s := range work {
				if err := s.run(ctx); err != nil && errs[i] == nil {
					errs[i] = err
				}
			}
		})
	}
	for _, s := range v.streams {
		work <- s
	}
	close(work)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// prove carries signatures over to the streams that a signed one follows, and
// complains about those that none covers.
func (v *verifier) prove() {
	for changed := true; changed; {
		changed = false
		for _, s := range v.streams {
			for _, follower := range s.followers {
				if !s.vouched && s.finding == nil && follower.proven > 0 {
					s.vouched, s.proven, s.unsigned, changed = true, s.reader.last, 0, true
					s.covered = follower.covered
				}
			}
		}
	}
	for _, s := range v.streams {
		if s.finding == nil {
			s.judgeSignatures(v.options)
		}
	}
}

// judgeSignatures says whether the stream is signed as far as it must be.
func (s *streamCheck) judgeSignatures(o *VerifyOptions) {
	switch {
	case len(o.Keys) == 0 || s.reader.last == 0 || s.vouched:
	case s.proven == 0 && s.why == 0 && s.reader.last <= 1:
		// It starts at this moment.
	case s.proven == 0:
		s.findAt(1, 4096, 1, "nothing in the stream is signed by the key ("+keyNames(o.Keys)+")")
	case s.why == 2 && !s.closing:
		s.find(s.proven+1, "the stream was closed, and no signature covers its end")
	}
}

func (v *verifier) result() *Verification {
	r := &Verification{Findings: v.findings, Notes: v.notes}
	for _, s := range v.streams {
		if s.finding != nil {
			r.Findings = append(r.Findings, *s.finding)
		}
		r.Notes = append(r.Notes, s.notes...)
		r.Streams = append(r.Streams, VerifiedStream{
			Name: s.reader.name, Segments: s.segments, Records: s.records, Bytes: s.bytes,
			Finished: s.why > 0, Covered: s.covered, Unsigned: s.unsigned,
		})
	}
	sort.SliceStable(r.Findings, func(i, k int) bool { return r.Findings[i].Stream < r.Findings[k].Stream })
	return r
}

// segmentOf returns the number in the name of a segment's file.
func segmentOf(path string) uint64 {
	base, _, _ := strings.Cut(filepath.Base(path), ".")
	number, _ := strconv.ParseUint(base, 10, 64)
	return number
}

func segmentFiles(dir string) ([]uint64, error) {
	numbers, err := segmentNumbers(dir)
	if os.IsNotExist(err) {
		return nil, nil // recovery found the stream empty
	}
	return numbers, err
}
