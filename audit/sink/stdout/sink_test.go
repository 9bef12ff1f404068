//go:build unix

package stdout_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
	"github.com/pgcustos/pgcustos/audit/sink/stdout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func records(n, size int) []*journal.Record {
	var out []*journal.Record
	for i := range n {
		out = append(out, &journal.Record{
			Stream: "n-1-0123456789abcdef", Sequence: uint64(i + 1), Type: "statement", Time: time.Unix(1, 0),
			Text: "\x1b[2J\n\"" + strings.Repeat("x", size), Form: "verbatim",
		})
	}
	return out
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Fd() // puts it into blocking mode, as a standard output is
	t.Cleanup(func() {
		_ = r.Close()
		_ = w.Close()
	})
	return r, w
}

// TestReaderThatStops lets the pipe run full in the middle of a line: no line is
// torn, and every record is there.
func TestReaderThatStops(t *testing.T) {
	r, w := pipe(t)
	s := stdout.New(w, sink.Native)
	all := records(100, 3000)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.Deliver(ctx, all); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a full pipe: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		done <- s.Deliver(t.Context(), all)
		_ = w.Close()
	}()
	seen := map[uint64]int{}
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		var line struct{ Sequence uint64 }
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
			t.Fatalf("a torn line: %v", err)
		}
		seen[line.Sequence]++
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, record := range all {
		if seen[record.Sequence] == 0 {
			t.Errorf("record %d is missing", record.Sequence)
		}
	}
}

func TestReaderThatHasGone(t *testing.T) {
	r, w := pipe(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := stdout.New(w, sink.Native).Deliver(t.Context(), records(1, 1)); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v", err)
	}
}
