package journal

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"
)

// Options say where the journal lives and how large its parts are.
type Options struct {
	Path        string // a directory of this node's own
	Node        string
	SegmentSize int64 // bytes; 64 MiB where it is 0
	// Reserve is kept back in each segment for log-ins, denials and revocations,
	// in bytes; 1 MiB where it is 0, or an eighth of the segment where that is
	// less. Statements cannot use it; the records of denied ones, and of strangers,
	// only half; those of failed log-ins three quarters.
	Reserve int64
	// Floor is how much of the file system has to be free, in bytes, for budgets to be
	// all that holds a principal; below it, or below a tenth of a small file system,
	// nobody gets more than a quarter of what is left. 0: there is no floor.
	Floor int64
	// AwaitsDisk says that records will be waited for until they are on the disk: the
	// first segments are made so that this takes little. Later ones are made as they
	// turn out to be used.
	AwaitsDisk bool
	// Signer signs the checkpoints, with an Ed25519 key; nil leaves them unsigned.
	// It is called by one goroutine at a time, and never while a statement waits.
	Signer crypto.Signer
	// DigestKey is the key of the keyed digests. Without one, Open uses the file
	// digest.key in the journal's directory, and makes it where it is missing.
	DigestKey DigestKey
	// Rotate is the age at which a segment with events is sealed although it has
	// room; 0: never.
	Rotate time.Duration
	// Compress puts zstd containers in the place of sealed segments, in the
	// background; also of those that earlier processes left.
	Compress bool
	// Archive is told what becomes of sealed segments; nil: nobody is.
	Archive ArchiveObserver
	// Retention says for how long records are kept; the zero value: for ever. It needs
	// Compress and Upkeep.
	Retention Retention
	// Recipients are those who can read sealed segments, and nobody else can, when every
	// sink has taken them. Without any nothing is encrypted. It needs Compress, Signer
	// and Upkeep.
	Recipients Recipients
	// Upkeep answers what has to be known before a segment is removed, or encrypted.
	Upkeep Upkeep
	// LeaveOthers changes nothing of earlier streams: where a process died, and a
	// new one would close what it left, Open fails with ErrUnfinished. It is for
	// those who only read.
	LeaveOthers bool
}

// ArchiveObserver is told what becomes of sealed segments. It is called from one
// goroutine at a time.
type ArchiveObserver interface {
	// Archived says that a segment became a container: its size as it was written,
	// and that of the files in its place, in bytes.
	Archived(file string, plain, stored int64)
	// ArchiveFailed says that a segment stays as it is, to be tried again.
	ArchiveFailed(file string, err error)
	// Removed says that retention removed a segment: what its files had, in bytes.
	Removed(file string, bytes int64)
	// Encrypted says that a segment can be read by its recipients only.
	Encrypted(file string)
	// Waiting says, behind each look at the journal where there are recipients, how many
	// segments are not encrypted yet because a sink has not taken them, and when what the
	// oldest of them tells of happened.
	Waiting(segments int, since time.Time)
}

// ErrUnfinished says that a stream was left by a process that died, and has not been
// looked after yet.
var ErrUnfinished = errors.New("a process died over a stream of the journal, which the next one to serve will close")

const (
	defaultSegmentSize = 64 << 20
	defaultReserve     = 1 << 20
	minSegmentSize     = 64 << 10
	maxSegmentSize     = 4 << 30
	maxNode            = 255
)

func (o *Options) setDefaults() error {
	if o.Path == "" {
		return errors.New("journal: no path")
	}
	if o.Node == "" || len(o.Node) > maxNode {
		return fmt.Errorf("journal: the node's name must have 1 to %d bytes", maxNode)
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegmentSize
	}
	if o.SegmentSize < minSegmentSize || o.SegmentSize > maxSegmentSize {
		return fmt.Errorf("journal: a segment size of %d bytes: it must be between %d and %d",
			o.SegmentSize, minSegmentSize, maxSegmentSize)
	}
	if o.Reserve == 0 {
		o.Reserve = min(defaultReserve, o.SegmentSize/8)
	}
	if o.Reserve < 0 || o.Reserve > o.SegmentSize/2 {
		return fmt.Errorf("journal: a reserve of %d bytes: it must be at most half a segment", o.Reserve)
	}
	if o.Rotate < 0 {
		return fmt.Errorf("journal: rotation after %s", o.Rotate)
	}
	if err := o.Retention.check(); err != nil {
		return err
	}
	if o.Retention.removes() && (!o.Compress || o.Upkeep == nil) {
		return errors.New("journal: retention needs segments that are compressed, and somebody who knows what sinks have taken")
	}
	if o.Recipients.Any() && (!o.Compress || o.Signer == nil || o.Upkeep == nil) {
		return errors.New("journal: encryption needs segments that are compressed, a key that signs what nobody here can read, and somebody who knows what sinks have taken")
	}
	if o.Floor < 0 {
		return fmt.Errorf("journal: a floor of %d bytes", o.Floor)
	}
	if o.Signer != nil {
		if _, ok := o.Signer.Public().(ed25519.PublicKey); !ok {
			return fmt.Errorf("journal: checkpoints are signed with an Ed25519 key, not with %T", o.Signer.Public())
		}
	}
	o.SegmentSize = align(o.SegmentSize)
	o.Reserve = align(o.Reserve)
	return nil
}
