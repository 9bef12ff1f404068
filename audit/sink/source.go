package sink

import (
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// slack is by how much the order of time may be wrong: a clock that was set
// back, a stream whose start has whole seconds.
const slack = 10 * time.Minute

// errAnew asks for the journal to be opened again, further back.
var errAnew = errors.New("read the journal anew")

// source reads what is left to deliver.
type source struct {
	reader  *journal.Reader
	since   time.Time         // the zero value: everything is read
	read    map[string]uint64 // by stream: the last sequence that was read, or need not be
	missing func(stream string, from, to uint64)
	held    *journal.Record // was read, and did not fit into its batch
}

func openSource(path string, p *Positions, whole bool) (*source, error) {
	s := &source{read: map[string]uint64{}}
	for stream, sequence := range p.Streams {
		s.read[stream] = sequence
	}
	var err error
	if !whole {
		if s.since, err = startOf(path, p, time.Now()); err != nil {
			return nil, err
		}
	}
	s.reader, err = journal.OpenReader(journal.ReaderOptions{Path: path, Since: s.since, PassLocked: true})
	return s, err
}

// startOf says from when on the journal has to be read: records come in the order
// of time over all streams, but of a stream without a position nothing was taken.
func startOf(path string, p *Positions, now time.Time) (time.Time, error) {
	if len(p.Streams) == 0 || p.Since.IsZero() {
		return time.Time{}, nil
	}
	since := p.Since
	if since.After(now) {
		since = now
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return since, err
	}
	for _, e := range entries {
		match := streamName.FindStringSubmatch(e.Name())
		if match == nil || !e.IsDir() {
			continue
		}
		if _, known := p.Streams[e.Name()]; known {
			continue
		}
		if seconds, err := strconv.ParseInt(match[1], 10, 64); err == nil && time.Unix(seconds, 0).Before(since) {
			since = time.Unix(seconds, 0)
		}
	}
	return since.Add(-slack), nil
}

func (s *source) close() { _ = s.reader.Close() }

// passed is how many records are passed over between two looks at end.
const passed = 4096

// batch returns the next records, at most o.MaxRecords of them, and of about
// o.MaxBytes unless the first alone has more. With io.EOF there are no more now.
func (s *source) batch(o *Options, end <-chan struct{}) ([]*journal.Record, error) {
	var records []*journal.Record
	room := o.MaxBytes
	for skipped := 0; len(records) < o.MaxRecords; {
		r, err := s.next()
		if err != nil {
			return records, err
		}
		if r == nil {
			if skipped++; skipped%passed == 0 && closed(end) {
				return records, errStopped
			}
			continue
		}
		if room -= weight(r); room < 0 && len(records) > 0 {
			s.held = r
			return records, nil
		}
		records = append(records, r)
	}
	return records, nil
}

// next returns the next record, and nil for one that was delivered before.
func (s *source) next() (*journal.Record, error) {
	if r := s.held; r != nil {
		s.held = nil
		return r, nil
	}
	r, err := s.reader.Next()
	if errors.Is(err, io.EOF) && s.backwards(time.Now()) {
		return nil, errAnew
	}
	if err != nil {
		return nil, err
	}
	last := s.read[r.Stream]
	if r.Sequence <= last {
		return nil, nil
	}
	if r.Sequence > last+1 {
		// Sequence numbers have no gaps. What is missing may lie before since.
		if !s.since.IsZero() {
			return nil, errAnew
		}
		s.missing(r.Stream, last+1, r.Sequence-1)
	}
	s.read[r.Stream] = r.Sequence
	_ = r.LoadText(maxText) // a blob that cannot be read holds nothing up: the record says so
	_ = r.LoadParameters(maxText)
	return r, nil
}

// maxText is how much of a text that the journal keeps as a blob is delivered, in
// bytes: its head. Digest and length are told always, and the journal has it whole.
const maxText = 1 << 20

// backwards says whether the clock was set back so far that new records are
// taken for old ones.
func (s *source) backwards(now time.Time) bool {
	return !s.since.IsZero() && now.Before(s.since.Add(slack/2))
}

// weight is about how many bytes a record makes at a sink.
func weight(r *journal.Record) int {
	return 1024 + len(r.Text) + len(r.Message) + len(r.Detail) + len(r.Change) + 64*len(r.Objects)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
