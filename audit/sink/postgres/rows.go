package postgres

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// rowsAhead is how much is encoded before it is read, about.
const rowsAhead = 64 << 10

// rows reads records as COPY takes them. pgconn reads them in a goroutine of its own,
// which it does not always join where the connection fails: hence the lock, and close.
type rows struct {
	mu   sync.Mutex
	left []*journal.Record // that are not encoded yet
	buf  []byte
	at   int // of what was not read yet, in buf
	done bool
	err  error
}

// newRows leaves out what the database has, which is told by stream. buf is used.
func newRows(records []*journal.Record, has map[string]uint64, buf []byte) *rows {
	r := &rows{left: make([]*journal.Record, 0, len(records)), buf: append(buf[:0], copyHeader...)}
	for _, record := range records {
		if record.Sequence > has[record.Stream] {
			r.left = append(r.left, record)
		}
	}
	return r
}

// Read implements io.Reader. Where a record cannot be encoded it returns that error,
// which ends the COPY as a failed one.
func (r *rows) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == len(r.buf) && r.err == nil {
		r.buf, r.at = r.buf[:0], 0
		r.encode()
	}
	if r.at == len(r.buf) {
		return 0, r.err
	}
	n := copy(p, r.buf[r.at:])
	r.at += n
	return n, nil
}

var errClosed = errors.New("the COPY has ended")

// close ends reading, and gives the buffer back.
func (r *rows) close() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	buf := r.buf
	r.left, r.buf, r.at, r.err = nil, nil, 0, errClosed
	return buf
}

// encode encodes the next rows. A fault of this code is an error: in a goroutine of
// pgconn's nobody else would catch it.
func (r *rows) encode() {
	defer func() {
		if p := recover(); p != nil {
			r.err = fmt.Errorf("a fault of the sink: %v\n%s", p, debug.Stack())
		}
	}()
	for len(r.left) > 0 && len(r.buf) < rowsAhead {
		row, err := appendRow(r.buf, r.left[0])
		if err != nil {
			r.err = err
			return
		}
		r.buf, r.left = row, r.left[1:]
	}
	switch {
	case len(r.buf) > 0:
	case !r.done:
		r.buf, r.done = append(r.buf, copyTrailer...), true
	default:
		r.err = io.EOF
	}
}
