package view

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// Format is a form of output.
type Format string

// The formats.
const (
	Table Format = "table"
	JSONL Format = "jsonl" // one JSON object on each line
)

// ParseFormat reads the name of a format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(strings.ToLower(s)); f {
	case Table, JSONL:
		return f, nil
	case "json":
		return JSONL, nil
	}
	return "", fmt.Errorf("no such format: %q; there are table and jsonl", s)
}

// Options say what is shown, and how.
type Options struct {
	Path   string // of the journal
	Filter Filter
	Format Format // Table where it is empty
	Width  int    // of the terminal, for the table; 0: no terminal
	Color  bool   // the table may colour what was denied or failed
	// Warnings hears of torn tails; may be nil.
	Warnings io.Writer
}

// Query writes the records that the filter chooses, in the order of time. An
// error that wraps *journal.CorruptionError comes after what could be read.
func Query(w io.Writer, o Options) error {
	s, err := open(w, &o)
	if err != nil {
		return err
	}
	defer s.reader.Close()
	err = s.pump()
	return errors.Join(err, s.out.end(), s.warn())
}

// Cat writes every record as a JSON line.
func Cat(w io.Writer, o Options) error {
	o.Filter, o.Format = Filter{}, JSONL
	return Query(w, o)
}

// printer is a form of output at work.
type printer interface {
	add(r *journal.Record, chosen bool) error
	end() error
}

// show is a reader with its output.
type show struct {
	reader *journal.Reader
	out    printer
	filter *Filter
	o      *Options
	warned int
}

func open(w io.Writer, o *Options) (*show, error) {
	return openSince(w, o, o.Filter.Since)
}

func openSince(w io.Writer, o *Options, since time.Time) (*show, error) {
	if err := o.Filter.Check(); err != nil {
		return nil, err
	}
	reader, err := journal.OpenReader(journal.ReaderOptions{Path: o.Path, Since: since})
	if err != nil {
		return nil, err
	}
	return &show{reader: reader, out: newPrinter(w, o), filter: &o.Filter, o: o}, nil
}

func newPrinter(w io.Writer, o *Options) printer {
	if o.Format == JSONL {
		return newLines(w)
	}
	return newTable(w, o)
}

// pump takes the records up to the present end.
func (s *show) pump() error {
	for {
		r, err := s.reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.out.add(r, s.filter.Match(r)); err != nil {
			return err
		}
	}
}

// warn tells of torn tails that it has not told of.
func (s *show) warn() error {
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

// lines prints records as JSON lines.
type lines struct {
	out *bufio.Writer
	enc *json.Encoder
}

func newLines(w io.Writer) *lines {
	out := bufio.NewWriterSize(w, 64<<10)
	l := &lines{out: out, enc: json.NewEncoder(out)}
	l.enc.SetEscapeHTML(false)
	return l
}

func (l *lines) add(r *journal.Record, chosen bool) error {
	if !chosen {
		return nil
	}
	return l.enc.Encode(r)
}

func (l *lines) end() error { return l.out.Flush() }
