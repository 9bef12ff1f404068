package view

import "github.com/pgcustos/pgcustos/audit/journal"

// headText is how much of a text that is kept as a blob a person is shown, in bytes.
const headText = 4 << 10

// loader loads the texts that are kept as blobs, as late as can be. One that cannot
// be read is shown without: its record says why (TextFault).
type loader struct {
	next sink
	most int64 // bytes of each; 0: all
	long bool  // next reads long texts itself
}

func (l *loader) put(e *entry) error {
	if l.long {
		loadShort(e.Record)
	} else {
		load(e.Record, l.most)
	}
	return l.next.put(e)
}

func (l *loader) flush() error { return l.next.flush() }
func (l *loader) end() error   { return l.next.end() }

func load(r *journal.Record, most int64) {
	_ = r.LoadText(most) // the record has the error
	_ = r.LoadParameters(most)
}

// loadShort loads all but a text that is written as it is read.
func loadShort(r *journal.Record) {
	if r.HasLongText() {
		_ = r.LoadParameters(0)
		return
	}
	load(r, 0)
}
