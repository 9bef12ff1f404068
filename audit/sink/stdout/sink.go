package stdout

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
)

// Sink prints to a file. What is written is taken for delivered: nobody answers.
type Sink struct {
	out  *os.File
	line sink.Line
	// rest is the end of a line that was written in part. It comes first at the
	// next try, so that no line is torn.
	rest []byte
}

var _ sink.Sink = (*Sink)(nil)

// New prints to out, which the Sink does not close; line makes the lines.
func New(out *os.File, line sink.Line) *Sink { return &Sink{out: out, line: line} }

// Close implements sink.Sink.
func (s *Sink) Close() error { return nil }

// Deliver implements sink.Sink. A reader that does not read holds up this sink
// until ctx ends, and nobody else.
func (s *Sink) Deliver(ctx context.Context, records []*journal.Record) error {
	if err := s.print(ctx, s.rest); err != nil {
		return err
	}
	var b []byte
	for _, r := range records {
		line, err := s.line(r)
		if err != nil {
			return fmt.Errorf("record %d of %s: %w", r.Sequence, r.Stream, err)
		}
		b = append(append(b, line...), '\n')
	}
	return s.print(ctx, b)
}

// print writes whole lines, and keeps the rest of one that it had begun.
func (s *Sink) print(ctx context.Context, lines []byte) error {
	n, err := write(ctx, s.out, lines)
	switch left := lines[n:]; {
	case len(left) == 0:
		s.rest = nil
	case n > 0 && lines[n-1] != '\n':
		s.rest = bytes.Clone(left[:bytes.IndexByte(left, '\n')+1])
	}
	return err
}
