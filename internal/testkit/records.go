package testkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// Records returns the records of the site's journal that match, in their order.
func (s *Site) Records(match func(*journal.Record) bool) ([]journal.Record, error) {
	r, err := journal.OpenReader(journal.ReaderOptions{Path: s.Journal})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var found []journal.Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if match(rec) {
			found = append(found, *rec)
		}
	}
}

// Await waits for a record that matches, and fails the test where none comes.
func (s *Site) Await(tb testing.TB, what string, match func(*journal.Record) bool) journal.Record {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	var found []journal.Record
	err := WaitFor(ctx, func() error {
		var err error
		if found, err = s.Records(match); err == nil && len(found) == 0 {
			err = fmt.Errorf("there is no record of %s", what)
		}
		return err
	})
	if err != nil {
		tb.Fatalf("%v\n%s", err, s.LogTail())
	}
	return found[0]
}
