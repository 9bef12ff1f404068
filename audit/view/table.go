package view

import (
	"bufio"
	"io"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

const (
	// rowsBefore are looked at before the first is printed, for the widths.
	rowsBefore = 500
	// rowsOpen bounds how many rows wait for what came of one of them.
	rowsOpen = 5000

	whatMin     = 40
	whatMax     = 400
	whatDefault = 120

	// narrow terminals get the day on a line of its own, and no classes.
	narrow = 180
)

// most is the widest that a column gets.
var most = [columns]int{23, 34, 39, 44, 26, 10, 28, 36, 0}

// table prints records as aligned lines, a statement and its outcome as one.
type table struct {
	out   *bufio.Writer
	width int // of the terminal
	color bool

	rows    []*row // in the order of time, not printed yet
	waiting map[key]*row
	widths  [columns]int
	titled  bool
	narrow  bool
	day     string // of the last line
}

func newTable(w io.Writer, o *Options) *table {
	t := &table{out: bufio.NewWriter(w), width: o.Width, color: o.Color, waiting: map[key]*row{}}
	t.narrow = o.Width > 0 && o.Width < narrow
	for i, title := range titles {
		t.widths[i] = cells(title)
	}
	return t
}

// add takes a record. Where it is the outcome of a row that is still here, it
// joins it, chosen or not.
func (t *table) add(r *journal.Record, chosen bool) error {
	if r.Type == audit.Outcome {
		k := key{r.Stream, r.Statement}
		if w := t.waiting[k]; w != nil {
			w.complete(r)
			w.finish(t)
			delete(t.waiting, k)
			return nil
		}
	}
	if !chosen {
		return nil
	}
	w := newRow(r)
	w.since = time.Now()
	w.finish(t)
	t.rows = append(t.rows, w)
	if w.open {
		t.waiting[w.key] = w
	}
	if len(t.rows) >= rowsBefore {
		return t.print(rowsOpen, time.Time{})
	}
	return nil
}

// finish shortens the row's cells to what can be shown, so that waiting rows
// hold no long texts.
func (w *row) finish(t *table) {
	if t.narrow {
		w.cells[colRole], _, _ = strings.Cut(w.cells[colRole], "@")
	} else if len(w.cells[colTime]) < most[colTime] {
		w.cells[colTime] = w.day + " " + w.cells[colTime]
	}
	for i := range colWhat {
		w.cells[i] = fit(w.cells[i], most[i])
		t.widths[i] = max(t.widths[i], cells(w.cells[i]))
	}
	w.cells[colWhat], w.note = fit(w.cells[colWhat], whatMax), fit(w.note, whatMax)
}

// print prints rows from the first on, up to one whose outcome is not known yet;
// that one too where more than keep rows wait, or where it came before patience.
func (t *table) print(keep int, patience time.Time) error {
	done := 0
	for _, w := range t.rows {
		if w.open && len(t.rows)-done <= keep && !w.since.Before(patience) {
			break
		}
		t.line(w)
		delete(t.waiting, w.key)
		done++
	}
	n := copy(t.rows, t.rows[done:])
	clear(t.rows[n:])
	t.rows = t.rows[:n]
	return t.out.Flush()
}

// end prints what is left.
func (t *table) end() error { return t.print(0, time.Time{}) }

// whatRoom is what the last column may take.
func (t *table) whatRoom() int {
	if t.width == 0 {
		return whatDefault
	}
	room := t.width
	for i := range colWhat {
		if !t.hidden(i) {
			room -= t.widths[i] + 2
		}
	}
	return min(max(room, whatMin), whatMax)
}

func (t *table) hidden(column int) bool { return t.narrow && column == colClass }

// what puts text and note into the last column; the note gets at most half of
// it where both do not fit.
func (t *table) what(w *row) string {
	text, room := w.cells[colWhat], t.whatRoom()
	if text == "" || w.note == "" {
		return fit(text+w.note, room)
	}
	const arrow = "  ← "
	free := room - len("  < ")
	noted := min(cells(w.note), max(free/2, free-cells(text)))
	return fit(text, free-noted) + arrow + fit(w.note, noted)
}

func (t *table) line(w *row) {
	if !t.titled {
		t.titled = true
		head := titles
		if t.narrow {
			head[colTime], head[colRole] = "UTC", "ROLE"
		}
		t.cells(head, false)
	}
	if t.narrow && t.day != w.day {
		t.day = w.day
		_, _ = t.out.WriteString("── " + w.day + " ──\n")
	}
	cells := w.cells
	cells[colWhat] = t.what(w)
	t.cells(cells, w.loud)
}

func (t *table) cells(row [columns]string, loud bool) {
	var b strings.Builder
	for i, cell := range row {
		if t.hidden(i) {
			continue
		}
		b.WriteString(cell)
		if i < columns-1 {
			b.WriteString(strings.Repeat(" ", max(0, t.widths[i]-cells(cell))+2))
		}
	}
	line := strings.TrimRight(b.String(), " ")
	if loud && t.color {
		line = "\x1b[1;31m" + line + "\x1b[0m"
	}
	_, _ = t.out.WriteString(line + "\n") // bufio keeps the first error for Flush
}
