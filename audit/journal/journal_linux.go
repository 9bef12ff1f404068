package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// Journal writes one stream. It implements audit.Recorder.
type Journal struct {
	// Static.
	id      identity
	size    int64 // of an ordinary segment
	reserve int64
	// rotateAfter is the age at which a segment is sealed; 0: none.
	rotateAfter time.Duration
	lock        *os.File // the stream's directory, locked
	opened      time.Time

	mu sync.Mutex
	// Guarded by mu.
	cur      *segment
	seq      uint64 // of the last record
	promised int64  // outcomes that room is kept for
	failure  error  // sticky: why nothing can be written any more
	retired  []*segment
	unhashed []*segment // begun, and the chain has not come to them
	scratch  [4]byte
	spare    spare
	scarce   scarcity

	blobs blobStore
	tail  atomic.Int64 // position behind the last record
	// strained: there is no next segment, and not much left of the current one.
	strained atomic.Bool
	flush    flusher
	chain    chain
	// archive puts containers in the place of sealed segments; nil: nobody does.
	archive *archiver

	stop chan struct{} // closed by Close
	wg   sync.WaitGroup
}

var _ audit.Recorder = (*Journal)(nil)

var errClosed = fmt.Errorf("%w: it is closed", audit.ErrBroken)

// Open looks at the streams that earlier processes left under o.Path, sets their
// torn tails aside, and starts a stream of its own, whose first record is
// audit.JournalOpened with what was found. Damage other than a torn tail is an
// error that wraps *CorruptionError; a full disk one that wraps audit.ErrFull.
func Open(o Options) (*Journal, error) { return openOn(o, thisMachine{}) }

func openOn(o Options, d disk) (*Journal, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Path, 0o700); err != nil {
		return nil, diskError(err)
	}
	found, err := recoverStreams(o.Path, d, o.LeaveOthers)
	if err != nil {
		return nil, err
	}
	j := &Journal{size: o.SegmentSize, reserve: o.Reserve, rotateAfter: o.Rotate, stop: make(chan struct{})}
	j.id.disk, j.opened, j.scarce.floor = d, time.Now(), o.Floor
	j.chain.init(o.Signer)
	if o.Compress {
		j.archive = newArchiver(d, o.Path, o.Archive, j.stop)
		j.archive.signer, j.archive.upkeep, j.archive.seal.to = o.Signer, o.Upkeep, o.Recipients
		j.archive.unhurried()
	}
	if err := j.start(&o, startValue(found.heads)); err != nil {
		return nil, err
	}
	_, err = j.Record(found.event())
	if err == nil {
		err = j.firstCheckpoint()
	}
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	j.wg.Go(j.chainLoop)
	if o.Retention.removes() || o.Recipients.Any() { // encryption leaves blobs in clear that go likewise
		j.archive.retain = newRetainer(j.archive, &o, j.Stream(), j.recordRemoval).retain
	}
	if o.Compress {
		j.wg.Go(j.archive.run)
	}
	return j, nil
}

func (j *Journal) start(o *Options, from [32]byte) error {
	if err := j.createStream(o); err != nil {
		return err
	}
	j.flush.init(o.AwaitsDisk)
	err := j.openBlobs(o)
	var d *draft
	if err == nil {
		d, err = newDraft(&j.id, j.size, j.flush.grain(), nil)
	}
	if err == nil {
		j.cur, err = d.finish(&j.id, 1)
	}
	if err != nil {
		_ = os.Remove(j.id.dir)
		_ = j.lock.Close()
		return err
	}
	j.cur.begin(1, time.Now().UnixNano(), from)
	j.chain.begin(j.cur, from)
	j.tail.Store(headerSize)
	j.lookAtRoom()
	j.spare.init(&j.mu, j.awaited)
	j.wg.Go(j.makeSpares)
	j.wg.Go(j.flushLoop)
	j.spare.kick()
	return nil
}

func (j *Journal) openBlobs(o *Options) error {
	if !o.DigestKey.Set() {
		var err error
		if o.DigestKey, err = nodeKey(o.Path, &j.id); err != nil {
			return err
		}
	}
	return j.blobs.init(o, j.id.dir, j.id.disk)
}

// Stream returns the name of the stream that this process writes.
func (j *Journal) Stream() string { return filepath.Base(j.id.dir) }

// Prepare implements audit.Recorder.
func (j *Journal) Prepare(c *audit.Context) *audit.Prepared {
	var size fields
	size.context(c)
	f := fields{b: make([]byte, size.n)}
	f.context(c)
	return &audit.Prepared{Fields: f.b}
}

// Close seals the stream, syncs it, and joins the journal's goroutines. Records
// that come later get audit.ErrBroken.
func (j *Journal) Close() error {
	j.mu.Lock()
	if errors.Is(j.failure, errClosed) {
		j.mu.Unlock()
		return nil
	}
	broken := j.failure
	j.failure = errClosed
	j.spare.ready.Broadcast()
	j.mu.Unlock()

	close(j.stop)
	j.wg.Wait()
	end := int64(0)
	err := j.finish(broken)
	if broken == nil && err == nil {
		end = j.tail.Load()
	}
	j.flush.end(end, err)
	if next := j.spare.next; next != nil {
		next.drop()
		_ = os.Remove(next.path())
	}
	return errors.Join(err, j.lock.Close())
}

// finish seals and syncs what is open. Both goroutines have ended.
func (j *Journal) finish(broken error) error {
	if broken != nil {
		j.blobs.drop()
		for _, s := range append(j.retired, j.cur) {
			s.drop()
		}
		return nil // whoever wrote has been told
	}
	err := j.blobs.sync()
	if err == nil {
		err = guard(func() { j.cur.seal(sealClosed, j.seq, j.lastCheckpoint()) })
	}
	j.retired = append(j.retired, j.cur)
	for i, s := range j.retired {
		if err == nil {
			err = s.sync()
		}
		if err == nil {
			err = s.retire()
		}
		if err != nil {
			for _, rest := range j.retired[i:] {
				if rest.m != nil {
					rest.drop()
				}
			}
			return fmt.Errorf("%w: %w", audit.ErrBroken, err)
		}
	}
	return nil
}

// Wait implements audit.Recorder.
func (j *Journal) Wait(ctx context.Context, r audit.Receipt) error {
	if r.Position <= j.flush.synced.Load() {
		return nil
	}
	if r.Position > j.tail.Load() {
		return fmt.Errorf("journal: a receipt for position %d, behind the end", r.Position)
	}
	return j.flush.wait(ctx, r.Position)
}
