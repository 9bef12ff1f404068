//go:build !linux

package journal

import (
	"context"
	"errors"
	"fmt"
	"hash"

	"github.com/pgcustos/pgcustos/audit"
)

// Journal writes one stream, on Linux. Elsewhere a journal can only be read.
type Journal struct{}

var _ audit.Recorder = (*Journal)(nil)

var errElsewhere = fmt.Errorf("%w: a journal is written on Linux only: %w", audit.ErrBroken, errors.ErrUnsupported)

// Open fails: a journal is written on Linux only.
func Open(o Options) (*Journal, error) {
	return nil, errors.Join(errElsewhere, o.setDefaults())
}

// Stream returns no name.
func (j *Journal) Stream() string { return "" }

// Prepare implements audit.Recorder.
func (j *Journal) Prepare(c *audit.Context) *audit.Prepared {
	var f fields
	f.context(c)
	f = fields{b: make([]byte, f.n)}
	f.context(c)
	return &audit.Prepared{Fields: f.b}
}

// Record implements audit.Recorder. It fails.
func (j *Journal) Record(*audit.Event) (audit.Receipt, error) { return audit.Receipt{}, errElsewhere }

// Keyed implements audit.Store.
func (j *Journal) Keyed() hash.Hash { return DigestKey{}.Hash() }

// Digest returns no digest.
func (j *Journal) Digest(string) [32]byte { return [32]byte{} }

// Blob implements audit.Store. It fails.
func (j *Journal) Blob() (audit.BlobWriter, error) { return nil, errElsewhere }

// Release implements audit.Recorder.
func (j *Journal) Release(int) {}

// Wait implements audit.Recorder. It fails.
func (j *Journal) Wait(context.Context, audit.Receipt) error { return errElsewhere }

// Close does nothing.
func (j *Journal) Close() error { return nil }

// Scarce says no.
func (j *Journal) Scarce() bool { return false }

// SignError returns nothing.
func (j *Journal) SignError() error { return nil }
