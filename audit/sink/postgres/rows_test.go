package postgres

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
)

func someRecords() []*journal.Record {
	var records []*journal.Record
	for n := range uint64(300) {
		records = append(records, &journal.Record{
			Stream: "s", Sequence: n + 1, Node: "n", Type: "statement", Time: time.Unix(int64(n), 0),
			Text: strings.Repeat("x", int(n*n)), Form: "verbatim", Rows: -1, Bytes: -1,
		})
	}
	return records
}

// TestRowsAreWhole reads rows in pieces of any size: header, each record that the
// database lacks, and the trailer.
func TestRowsAreWhole(t *testing.T) {
	records := someRecords()
	want := []byte(copyHeader)
	for _, r := range records[100:] {
		var err error
		if want, err = appendRow(want, r); err != nil {
			t.Fatal(err)
		}
	}
	want = append(want, copyTrailer...)
	if err := iotest.TestReader(newRows(records, map[string]uint64{"s": 100}, nil), want); err != nil {
		t.Error(err)
	}
}

// TestRowsFail has an error for a fault of the encoding, and for reading that goes on
// when the COPY has ended.
func TestRowsFail(t *testing.T) {
	r := newRows(someRecords()[:1], nil, nil)
	r.left = append(r.left, nil)
	if _, err := io.ReadAll(r); err == nil || !strings.Contains(err.Error(), "a fault of the sink") {
		t.Errorf("a record that cannot be encoded: %v", err)
	}
	r = newRows(someRecords(), nil, nil)
	r.close()
	if n, err := r.Read(make([]byte, 100)); n != 0 || !errors.Is(err, errClosed) {
		t.Errorf("after close: %d bytes, %v", n, err)
	}
}
