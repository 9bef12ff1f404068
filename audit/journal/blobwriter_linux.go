package journal

import (
	"hash"
	"io"
	"unsafe"

	"github.com/klauspost/compress/zstd"

	"github.com/pgcustos/pgcustos/audit"
)

// keyed is a keyed digest with room for its result.
type keyed struct {
	hash hash.Hash
	sum  [32]byte
}

// Keyed implements audit.Store.
func (j *Journal) Keyed() hash.Hash { return j.blobs.key.Hash() }

// Digest returns the keyed digest of a text. It does not allocate.
func (j *Journal) Digest(text string) [32]byte {
	var k *keyed
	select {
	case k = <-j.blobs.hashes:
		k.hash.Reset()
	default:
		k = &keyed{hash: j.Keyed()}
	}
	_, _ = k.hash.Write(unsafe.Slice(unsafe.StringData(text), len(text)))
	k.hash.Sum(k.sum[:0])
	sum := k.sum
	select {
	case j.blobs.hashes <- k:
	default:
	}
	return sum
}

// sumWriter writes, and sums up what was written.
type sumWriter struct {
	to   io.Writer
	hash hash.Hash
}

// Write implements io.Writer.
func (w *sumWriter) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	w.hash.Write(b[:n])
	return n, err
}

// blobWriter is a blob that is being written.
type blobWriter struct {
	store *blobStore
	draft *blobDraft
	enc   *zstd.Encoder
	hash  hash.Hash
	n     int64
	ended bool
}

var _ audit.BlobWriter = (*blobWriter)(nil)

// Blob implements audit.Store.
func (j *Journal) Blob() (audit.BlobWriter, error) {
	j.mu.Lock()
	err := j.failure
	j.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return j.blobs.begin()
}

func (s *blobStore) begin() (audit.BlobWriter, error) {
	s.turns <- struct{}{}
	d, err := s.draft()
	if err != nil {
		<-s.turns
		return nil, err
	}
	w := &blobWriter{store: s, draft: d, hash: s.key.Hash()}
	if enc, ok := s.streams.Get().(*zstd.Encoder); ok {
		w.enc = enc
		enc.Reset(d.out)
		return w, nil
	}
	w.enc, err = zstd.NewWriter(d.out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(blobWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		<-s.turns
		return nil, d.fail(err)
	}
	return w, nil
}

// Write implements io.Writer.
func (w *blobWriter) Write(b []byte) (int, error) {
	n, err := w.enc.Write(b)
	w.hash.Write(b[:n])
	w.n += int64(n)
	if err != nil {
		err = diskError(err)
	}
	return n, err
}

// Commit implements audit.BlobWriter.
func (w *blobWriter) Commit() (audit.BlobRef, error) {
	ref := audit.BlobRef{Length: w.n}
	w.hash.Sum(ref.Digest[:0])
	if w.n == 0 {
		w.Discard()
		return ref, nil
	}
	if known, ok := w.store.find(ref.Digest, ref.Length); ok {
		w.Discard()
		return known, nil
	}
	if err := w.enc.Close(); err != nil {
		w.Discard()
		return audit.BlobRef{}, diskError(err)
	}
	defer w.end()
	return w.store.name(w.draft, ref)
}

// Discard implements audit.BlobWriter.
func (w *blobWriter) Discard() {
	if !w.ended {
		w.draft.drop()
		w.end()
	}
}

// end gives the turn back.
func (w *blobWriter) end() {
	w.ended = true
	w.enc.Reset(nil)
	w.store.streams.Put(w.enc)
	<-w.store.turns
}
