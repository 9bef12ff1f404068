package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"time"
)

// ReaderOptions say what of a journal is read.
type ReaderOptions struct {
	Path  string
	Since time.Time // records before it are passed over; the zero value: none are
	// Select chooses records before they are decoded; nil: all are wanted.
	Select *Selection
	// Identities read what is encrypted. Without them, or where they do not fit, Next
	// fails with a *LockedError that says whose would.
	Identities *Identities
	// PassLocked passes over encrypted segments that cannot be read instead.
	PassLocked bool
	// Watch is called now and then while records are read, with how many that were
	// so far, chosen or not, and the time of the last of them. Its error is the
	// reader's end. nil: nobody watches.
	Watch func(records uint64, at time.Time) error
}

// Reader reads the records of all streams of a journal in the order of time. It
// is not safe for concurrent use.
type Reader struct {
	path    string
	since   time.Time
	keys    *Identities
	passing bool      // over encrypted segments
	streams []*source // in the order of their starts
	names   map[string]bool
	torn    []TornTail
	picker  *picker
	pool    scanPool
	watch   func(uint64, time.Time) error
	records uint64 // read so far
	latest  int64  // time of the last of them
	watched uint64 // of records, when watch was called last
	err     error  // sticky
}

// source is a stream with the record that it has to offer.
type source struct {
	streamReader
	start time.Time
	idle  bool // it had nothing more when it was asked last
	head  *Record

	scan   *segmentScan   // of the current segment; nil: it is read record by record
	looked *segmentReader // that ix and quiet are of
	ix     *Index
	quiet  int64 // where reading record by record began
}

func (s *source) close() {
	if s.scan != nil {
		s.scan.end()
		s.scan = nil
	}
	s.streamReader.close()
}

// OpenReader opens the journal at o.Path, also while it is written.
func OpenReader(o ReaderOptions) (*Reader, error) {
	r := &Reader{
		path: o.Path, since: o.Since, names: map[string]bool{}, watch: o.Watch, keys: o.Identities, passing: o.PassLocked,
		picker: newPicker(o.Select, o.Since),
	}
	r.pool.make = func() *picker { return newPicker(o.Select, o.Since) }
	if err := r.look(); err != nil {
		return nil, err
	}
	return r, nil
}

// Next returns the next record. It returns io.EOF where there is none now: the
// journal may be written meanwhile, and Next can be asked again. Damage is a
// *CorruptionError, and the end.
func (r *Reader) Next() (*Record, error) {
	if r.err != nil {
		return nil, r.err
	}
	record, err := r.next()
	if errors.Is(err, io.EOF) {
		// Perhaps there is something new.
		if err = r.refresh(); err == nil {
			record, err = r.next()
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return record, err
}

// Settle looks once more at all that lies behind the ends of live segments. Next
// does so when it comes to an end first, and from then on a piece at a time.
func (r *Reader) Settle() error {
	if r.err != nil {
		return r.err
	}
	for _, s := range r.streams {
		if s.cur != nil && s.scan == nil {
			s.cur.judged, s.cur.blank, s.idle = false, false, false
			r.err = errors.Join(r.err, r.fill(s))
		}
	}
	return r.err
}

// Empty reports whether there is no stream at all.
func (r *Reader) Empty() bool { return len(r.names) == 0 }

// TornTails lists the unfinished ends that were met so far.
func (r *Reader) TornTails() []TornTail { return r.torn }

// Close closes the journal's files.
func (r *Reader) Close() error {
	for _, s := range r.streams {
		s.close()
	}
	r.streams = nil
	r.err = fs.ErrClosed
	return nil
}

func (r *Reader) refresh() error {
	for _, s := range r.streams {
		s.idle = false
	}
	return r.look()
}

// startSlack is how much earlier than its stream's start, which has whole
// seconds, an event may have happened.
const startSlack = 2 * time.Second

var streamName = regexp.MustCompile(`^[A-Za-z0-9._-]+-([0-9]{1,12})-[0-9a-f]{16}$`)

// look finds the streams that are not known yet.
func (r *Reader) look() error {
	entries, err := os.ReadDir(r.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		match := streamName.FindStringSubmatch(e.Name())
		if match == nil || !e.IsDir() || r.names[e.Name()] {
			continue
		}
		seconds, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil {
			continue
		}
		s := &source{start: time.Unix(seconds, 0)}
		s.dir, s.name, s.keys, s.passing = filepath.Join(r.path, e.Name()), e.Name(), r.keys, r.passing
		s.torn = func(t TornTail) { r.torn = append(r.torn, t) }
		r.names[e.Name()] = true
		r.streams = append(r.streams, s)
	}
	sort.SliceStable(r.streams, func(i, k int) bool { return r.streams[i].start.Before(r.streams[k].start) })
	return nil
}

// next offers the earliest of the streams' heads.
func (r *Reader) next() (*Record, error) {
	best, err := r.earliest()
	if err != nil {
		return nil, err
	}
	if best == nil {
		return nil, io.EOF
	}
	record := best.head
	best.head = nil
	return record, nil
}

// earliest finds the stream with the earliest head. Streams that start later than
// it are not opened yet: a journal may have more of them than there are files to
// have open.
func (r *Reader) earliest() (*source, error) {
	var best *source
	live := r.streams[:0]
	for _, s := range r.streams {
		if best != nil && s.cur == nil && s.start.Add(-startSlack).After(best.head.Time) {
			live = append(live, s)
			continue
		}
		if err := r.fill(s); err != nil {
			return nil, err
		}
		if s.head != nil || !s.finished {
			live = append(live, s)
		}
		if s.head != nil && (best == nil || s.head.Time.Before(best.head.Time)) {
			best = s
		}
	}
	clear(r.streams[len(live):])
	r.streams = live
	return best, nil
}

// fill sees to it that s has a head where it can.
func (r *Reader) fill(s *source) error {
	for s.head == nil && !s.finished && !s.idle {
		if s.cur == nil {
			if err := s.open(r.since); err != nil {
				return err
			}
		}
		record, err := r.read(s)
		switch {
		case errors.Is(err, io.EOF):
			s.idle = true
		case err != nil:
			return err
		default:
			s.head = record
		}
	}
	return nil
}

// watchEvery is how many records are read between two calls of Watch.
const watchEvery = 4096

// read reads the next record of s, and returns nil where it is not wanted.
func (r *Reader) read(s *source) (*Record, error) {
	if r.watch != nil && r.records >= r.watched+watchEvery {
		r.watched = r.records
		if err := r.watch(r.records, time.Unix(0, r.latest).UTC()); err != nil {
			return nil, err
		}
	}
	if err := r.ahead(s); err != nil {
		return nil, err
	}
	if s.scan != nil {
		return r.scanned(s)
	}
	raw, ok, err := s.step()
	if err != nil || !ok {
		return nil, err
	}
	r.records++
	r.latest = raw.nanos
	choice := r.picker.choose(&raw)
	if choice == Maybe {
		if !r.picker.selection.confirmed(r.picker.reference(s.name)) {
			choice = No
		}
	}
	if choice == No {
		return nil, nil
	}
	record, err := newRecord(s.dir, s.cur.head, &raw, &r.picker.strings)
	if err != nil {
		return nil, s.cur.corrupt(raw.offset, err.Error())
	}
	return record, nil
}
