package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
)

// Options bound what is spooled.
type Options struct {
	Directory    string // made where it is missing, mode 0700
	Over         int    // bytes: larger messages are spooled; 1 MiB where it is 0
	Total        int64  // bytes of all files; 8 GiB where it is 0
	PerPrincipal int64  // bytes of one principal's files; a quarter of Total where it is 0
}

// Store makes files. It is safe for concurrent use.
type Store struct {
	opt Options
	// Readers are the turns of those who hold a whole text in memory, writers of
	// those who work through one of any size.
	readers, workers chan struct{}

	mu    sync.Mutex // guards what follows
	total int64
	used  map[string]int64 // by principal
}

// LimitError says that there is no room for more, by the configuration. SQLSTATE
// 54000.
type LimitError struct {
	Limit        int64 // bytes
	PerPrincipal bool  // else of all together
}

// Error implements error.
func (e *LimitError) Error() string {
	if e.PerPrincipal {
		return fmt.Sprintf("the large messages of one principal may take %d bytes together", e.Limit)
	}
	return fmt.Sprintf("large messages may take %d bytes together", e.Limit)
}

// ErrSpool says that a file could not be written or read. SQLSTATE 58030, or 53100
// where it wraps ENOSPC.
var ErrSpool = errors.New("a large message could not be kept for judgement")

const (
	defaultOver  = 1 << 20
	defaultTotal = 8 << 30
)

// Open makes a store.
func Open(o Options) (*Store, error) {
	if o.Over == 0 {
		o.Over = defaultOver
	}
	if o.Total == 0 {
		o.Total = defaultTotal
	}
	if o.PerPrincipal == 0 {
		o.PerPrincipal = o.Total / 4
	}
	if err := os.MkdirAll(o.Directory, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	turns := max(2, runtime.GOMAXPROCS(0))
	return &Store{
		opt: o, readers: make(chan struct{}, turns), workers: make(chan struct{}, turns), used: map[string]int64{},
	}, nil
}

// Over is the size in bytes beyond which a message is spooled.
func (s *Store) Over() int { return s.opt.Over }

// Used is how many bytes the files take at this moment.
func (s *Store) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// reserve takes room for n bytes more of the principal's.
func (s *Store) reserve(principal string, n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.used[principal]+n > s.opt.PerPrincipal:
		return &LimitError{s.opt.PerPrincipal, true}
	case s.total+n > s.opt.Total:
		return &LimitError{s.opt.Total, false}
	}
	s.total += n
	s.used[principal] += n
	return nil
}

func (s *Store) release(principal string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total -= n
	if s.used[principal] -= n; s.used[principal] <= 0 {
		delete(s.used, principal)
	}
}

// Read waits for a turn to hold a whole text in memory, until ctx ends. done gives it
// back.
func (s *Store) Read(ctx context.Context) (done func(), err error) { return turn(ctx, s.readers) }

// Work waits for a turn to work through a text of any size, until ctx ends.
func (s *Store) Work(ctx context.Context) (done func(), err error) { return turn(ctx, s.workers) }

func turn(ctx context.Context, turns chan struct{}) (done func(), err error) {
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
