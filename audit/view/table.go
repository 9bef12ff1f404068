package view

import (
	"bufio"
	"io"
	"strings"
)

const (
	// rowsBefore are looked at before the first is printed, for the widths.
	rowsBefore  = 500
	whatMin     = 40
	whatMax     = 400
	whatDefault = 120

	// narrow terminals get the day on a line of its own, and no classes.
	narrow = 180
)

// most is the widest that a column gets.
var most = [columns]int{23, 34, 39, 44, 26, 10, 36, 36, 0}

// table prints records as aligned lines, a statement and its outcome as one.
type table struct {
	out   *bufio.Writer
	width int // of the terminal
	color bool

	rows   []*row // not printed yet
	widths [columns]int
	titled bool
	narrow bool
	day    string // of the last line
}

func newTable(w io.Writer, o *Options) *table {
	t := &table{out: bufio.NewWriter(w), width: o.Width, color: o.Color}
	t.narrow = o.Width > 0 && o.Width < narrow
	for i, title := range titles {
		t.widths[i] = cells(title)
	}
	return t
}

// put takes an entry. Its row is made at once: rows hold no long texts.
func (t *table) put(e *entry) error {
	w := newRow(e)
	w.finish(t)
	t.rows = append(t.rows, w)
	if len(t.rows) >= rowsBefore {
		return t.flush()
	}
	return nil
}

// finish shortens the row's cells to what can be shown.
func (w *row) finish(t *table) {
	if t.narrow {
		w.cells[colRole], _, _ = strings.Cut(w.cells[colRole], "@")
	} else if len(w.cells[colTime]) < most[colTime] {
		w.cells[colTime] = w.day + " " + w.cells[colTime]
	}
	for i := range colWhat {
		w.cells[i] = fit(arrowless(w.cells[i], '←'), most[i])
		t.widths[i] = max(t.widths[i], cells(w.cells[i]))
	}
	w.cells[colWhat], w.note = fit(arrowless(w.cells[colWhat], '←'), whatMax), fit(arrowless(w.note, '←'), whatMax)
}

// flush prints what is here.
func (t *table) flush() error {
	for _, w := range t.rows {
		t.line(w)
	}
	clear(t.rows)
	t.rows = t.rows[:0]
	return t.out.Flush()
}

func (t *table) end() error { return t.flush() }

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
