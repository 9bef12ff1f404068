package view

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// lines prints records as JSON lines, a statement's outcome behind it.
type lines struct {
	out      *bufio.Writer
	outcomes bool
}

func newLines(w io.Writer, m *matcher) *lines {
	return &lines{out: bufio.NewWriterSize(w, 64<<10), outcomes: outcomesToo(m)}
}

func (l *lines) record(r *journal.Record) error { return r.WriteJSON(l.out) }

func (l *lines) put(e *entry) error {
	if e.folded != nil {
		return l.fold(e)
	}
	if err := l.record(e.Record); err != nil || e.outcome == nil || !l.outcomes {
		return err
	}
	return l.record(e.outcome)
}

// jsonFold is what a line stands for.
type jsonFold struct {
	Count    uint64 `json:"count"`
	First    string `json:"first"`
	Last     string `json:"last"`
	Rows     int64  `json:"rows"`
	Bytes    int64  `json:"bytes"`
	Duration int64  `json:"duration_ns"`
}

// fold prints the first record, with "folded" behind its other fields, and no
// outcome: the sums stand there.
func (l *lines) fold(e *entry) error {
	_ = e.LoadText(0) // the record has the error
	object, err := e.MarshalJSON()
	if err != nil {
		return err
	}
	t := e.folded
	sums, err := json.Marshal(jsonFold{t.count, stamp(e.Time), stamp(t.last), t.rows, t.bytes, t.took.Nanoseconds()})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(l.out, "%s,\"folded\":%s}\n", bytes.TrimSuffix(object, []byte("}")), sums)
	return err
}

func (l *lines) flush() error { return l.out.Flush() }
func (l *lines) end() error   { return l.out.Flush() }

// writeJSON writes v as a line, in which nothing acts in a terminal.
func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(append(journal.EscapeActing(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), '\n'))
	return err
}
