package view

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// Format is a form of output.
type Format string

// The formats.
const (
	Table Format = "table"
	JSONL Format = "jsonl" // one JSON object on each line
	CSV   Format = "csv"   // RFC 4180
	OCSF  Format = "ocsf"  // Open Cybersecurity Schema Framework, one JSON object on each line
)

// ParseFormat reads the name of a format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(strings.ToLower(s)); f {
	case Table, JSONL, CSV, OCSF:
		return f, nil
	case "json":
		return JSONL, nil
	}
	return "", fmt.Errorf("no such format: %q; there are table, jsonl, csv and ocsf", s)
}

// Options say what is shown, and how.
type Options struct {
	Path string // of the journal
	// Identities read segments that are encrypted; nil: these are an error.
	Identities *journal.Identities
	Filter     Filter
	Format     Format // Table where it is empty

	Fold    bool     // identical repeated READs of a session are one line
	Count   bool     // not the entries, but how many there are
	By      []string // of FieldNames: what is counted by
	Limit   int      // lines at most; 0: no limit
	Reverse bool     // the newest first: only with a Limit, at most MaxReverse
	Follow  bool     // go on until the context ends

	Width int  // of the terminal, for the table; 0: no terminal
	Color bool // the table may colour what was denied or failed
	// Warnings hears of torn tails, and where there is no journal; may be nil.
	Warnings io.Writer
	// Progress is a terminal that hears how far a long scan is; nil where there is
	// none.
	Progress io.Writer
}

// Check refuses options that do not go together.
func (o *Options) Check() error {
	if _, err := findFields(o.By); err != nil {
		return err
	}
	switch {
	case o.Limit < 0:
		return fmt.Errorf("a limit of %d: it must be 1 or more", o.Limit)
	case len(o.By) > 0 && !o.Count:
		return errors.New("what is counted by needs count")
	case o.Count && o.Format == OCSF:
		return errors.New("counts have no OCSF form: use table, jsonl or csv")
	case o.Reverse && (o.Limit == 0 || o.Limit > MaxReverse) && !o.Count:
		return fmt.Errorf("the newest first needs a limit, of at most %d", MaxReverse)
	case o.Reverse && o.Count:
		return errors.New("counts are in order of size, the largest first: they cannot be reversed")
	case o.Follow && (o.Count || o.Reverse || o.Fold):
		return errors.New("following does not go together with count, reverse or fold: these wait for the end")
	case o.Fold && o.Count:
		return errors.New("counting needs no fold: it counts everything")
	}
	return o.Filter.Check()
}

// Query writes the entries that the filter chooses, in the order of time. An error
// that wraps *journal.CorruptionError comes after what could be read. Where ctx ends
// it returns its error, with Follow none.
func Query(ctx context.Context, w io.Writer, o Options) error {
	if err := o.Check(); err != nil {
		return err
	}
	if o.Progress != nil {
		p := newProgress(o.Progress)
		defer p.clear()
		w = &progressWriter{w, p}
		o.Progress = p
	}
	s, err := open(&o, o.Filter.Since, newChain(w, &o))
	if err != nil {
		return err
	}
	defer s.close()
	s.join.timed = o.Follow
	err = s.pump(ctx)
	if o.Follow && err == nil {
		err = s.follow(ctx)
	}
	if o.Follow && errors.Is(err, context.Canceled) {
		err = nil
	}
	return s.finish(err)
}

// Cat writes every record as a JSON line, as they come, nothing joined.
func Cat(ctx context.Context, w io.Writer, o Options) error {
	out := newLines(w, nil)
	s := &show{join: newJoiner(&matcher{}, out), o: &o}
	if err := s.read(time.Time{}, nil); err != nil {
		return err
	}
	defer s.close()
	err := s.each(ctx, func(r *journal.Record) error {
		loadShort(r)
		return out.record(r)
	})
	return errors.Join(err, out.flush(), s.warn())
}

// newChain makes what follows the joiner.
func newChain(w io.Writer, o *Options) sink {
	if o.Count {
		return newCounter(w, o)
	}
	out := newPrinter(w, o)
	switch {
	case o.Reverse:
		out = &last{next: out, n: o.Limit, reverse: true}
	case o.Limit > 0:
		out = &limiter{out, o.Limit}
	}
	if o.Fold {
		out = newFolder(out)
	}
	return out
}

func newPrinter(w io.Writer, o *Options) sink {
	switch o.Format {
	case JSONL:
		m, _ := o.Filter.compile() // checked before
		return &loader{newLines(w, m), 0, true}
	case CSV:
		return &loader{newCSV(w), 0, false}
	case OCSF:
		return &loader{newOCSF(w), 0, false}
	case Table:
	}
	return &loader{newTable(w, o), headText, false}
}

// show is a reader with its chain.
type show struct {
	reader *journal.Reader
	join   *joiner
	o      *Options
	ended  func() error         // of the context that each was called with
	enough func(time.Time) bool // says whether what happened later is of no interest; may be nil
	warned int
}

// open opens the journal. Entries go to out.
func open(o *Options, since time.Time, out sink) (*show, error) {
	m, err := o.Filter.compile()
	if err != nil {
		return nil, err
	}
	s := &show{join: newJoiner(m, out), o: o}
	return s, s.read(since, m.selection(s.join))
}

// read opens the reader. Records that are not selected do not come.
func (s *show) read(since time.Time, selected *journal.Selection) (err error) {
	s.reader, err = journal.OpenReader(journal.ReaderOptions{Path: s.o.Path, Since: since, Select: selected, Watch: s.watch, Identities: s.o.Identities})
	return err
}

// watch looks now and then whether the query has ended, and tells how far it is.
func (s *show) watch(records uint64, at time.Time) error {
	if err := s.ended(); err != nil {
		return err
	}
	if s.enough != nil && s.enough(at) {
		return errEnough
	}
	if p, ok := s.o.Progress.(*progress); ok {
		p.see(records, at)
	}
	return nil
}

func (s *show) close() { _ = s.reader.Close() }

// pump takes the records up to the present end.
func (s *show) pump(ctx context.Context) error { return s.each(ctx, s.join.add) }

// each calls do with the records up to the present end.
func (s *show) each(ctx context.Context, do func(*journal.Record) error) error {
	s.ended = ctx.Err
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		r, err := s.reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(r); err != nil {
			return err
		}
	}
}

// finish shows the rest.
func (s *show) finish(err error) error {
	if errors.Is(err, errEnough) {
		return errors.Join(s.join.next.flush(), s.warn())
	}
	ended := s.join.end()
	if errors.Is(ended, errEnough) {
		ended = s.join.next.flush()
	}
	return errors.Join(err, ended, s.warn())
}

// warn tells of torn tails that it has not told of, and of a directory that is no journal's:
// nothing there is no sign that nothing happened.
func (s *show) warn() error {
	if s.reader.Empty() && s.o.Warnings != nil {
		if _, err := fmt.Fprintf(s.o.Warnings, "%s holds no journal: nothing was read\n", s.o.Path); err != nil {
			return err
		}
	}
	torn := s.reader.TornTails()
	for _, t := range torn[s.warned:] {
		if s.o.Warnings == nil {
			break
		}
		_, err := fmt.Fprintf(s.o.Warnings, "%s: an unfinished record at byte %d: its process died, or is writing it now\n", t.File, t.Offset)
		if err != nil {
			return err
		}
	}
	s.warned = len(torn)
	return nil
}

// outcomesToo says whether an entry's outcome is shown beside it.
func outcomesToo(m *matcher) bool { return m == nil || m.shows(string(audit.Outcome)) }
