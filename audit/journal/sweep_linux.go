package journal

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// sweepGrace is how long a blob is left alone that was made, or named, at most
	// touchEvery after its file says: a record that names it may be on its way.
	sweepGrace = 6 * touchEvery
	// goneSuffix is behind the name of a blob that is about to be removed.
	goneSuffix = ".gone"
)

// sweep removes the blobs that no record names.
func (r *retainer) sweep() error {
	all, err := r.blobsAtRest()
	if err != nil || len(all) == 0 {
		return err
	}
	named, err := namedBlobs(r.path)
	if err != nil {
		return fmt.Errorf("no blob is removed: %w", err)
	}
	for _, b := range all {
		if r.stopped() {
			return nil
		}
		if err := r.sweepBlob(b, named[b.sum]); err != nil {
			return err
		}
	}
	return nil
}

// restingBlob is a blob's file that nobody has used for a while.
type restingBlob struct {
	path string // without goneSuffix
	sum  [32]byte
	gone bool // a sweep was cut short
}

// blobsAtRest lists the blobs that may be removed where no record names them.
func (r *retainer) blobsAtRest() (all []restingBlob, err error) {
	files, err := filepath.Glob(filepath.Join(r.path, blobFolder, "*", "*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		b := restingBlob{path: file}
		b.path, b.gone = strings.CutSuffix(file, goneSuffix)
		var ok bool
		if b.sum, ok = sumOfName(filepath.Base(b.path)); !ok {
			continue
		}
		info, err := os.Lstat(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if b.gone || r.resting(info) {
			all = append(all, b)
		}
	}
	return all, nil
}

func (r *retainer) resting(info fs.FileInfo) bool {
	return r.now().Sub(info.ModTime()) >= sweepGrace
}

// sumOfName takes the sum out of the name of a blob's file.
func sumOfName(name string) (sum [32]byte, ok bool) {
	text, found := strings.CutSuffix(name, blobSealed)
	if !found {
		base, _ := strings.CutSuffix(name, blobPlain)
		_, text, found = strings.Cut(base, "-")
	}
	b, err := hex.DecodeString(text)
	if !found || err != nil || len(b) != len(sum) {
		return sum, false
	}
	return [32]byte(b), true
}

// sweepBlob removes a blob that is not named. It takes its name first: whoever uses
// it meanwhile has said so in its time by then, and gets it back, or misses it and
// makes it anew.
func (r *retainer) sweepBlob(b restingBlob, named bool) error {
	gone := b.path + goneSuffix
	if !b.gone {
		if named {
			return nil
		}
		if err := r.step("take a blob's name"); err != nil {
			return err
		}
		if err := os.Rename(b.path, gone); err != nil {
			return ignoreMissing(err)
		}
	}
	info, err := os.Lstat(gone)
	if err != nil {
		return ignoreMissing(err)
	}
	if err := r.step("remove a blob"); err != nil {
		return err
	}
	if named || !r.resting(info) {
		// Link and not rename: one that was made anew stays.
		if err := os.Link(gone, b.path); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := os.Remove(gone); err != nil {
		return ignoreMissing(err)
	}
	return r.disk.syncDir(filepath.Dir(b.path))
}

// namedBlobs are the sums of all blobs that records of the journal name: as indexes
// say, and where there is none as the records themselves do.
func namedBlobs(journal string) (map[[32]byte]bool, error) {
	named := map[[32]byte]bool{}
	entries, err := os.ReadDir(journal)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() || streamName.FindString(e.Name()) == "" {
			continue
		}
		dir := filepath.Join(journal, e.Name())
		numbers, err := segmentNumbers(dir)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return nil, err
		}
		for _, number := range numbers {
			if err := namedIn(dir, number, named); err != nil {
				return nil, err
			}
		}
	}
	return named, nil
}

// namedIn adds what the records of a segment name.
func namedIn(dir string, number uint64, named map[[32]byte]bool) error {
	if !plainExists(dir, number) {
		x, err := readIndex(dir, number)
		if err == nil {
			for _, sum := range x.Blobs {
				named[sum] = true
			}
			return nil
		}
		if !errors.Is(err, errIndex) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	seg, err := openSegment(dir, number)
	if err != nil {
		return ignoreMissing(err) // a draft, or removed meanwhile
	}
	defer seg.close()
	if seg.lock != nil {
		for _, sum := range seg.lock.Blobs {
			named[sum] = true
		}
		return nil
	}
	return eachReference(seg, func(ref []byte) { named[[32]byte(ref[40:])] = true })
}

// blobsOf are the files of the blobs that the records of a segment name, by the sums in
// the names.
func blobsOf(dir string, number uint64) (map[[32]byte]string, error) {
	seg, err := openSegment(dir, number)
	if err != nil {
		return nil, err
	}
	defer seg.close()
	paths := map[[32]byte]string{}
	return paths, eachReference(seg, func(field []byte) {
		if ref, err := decodeRef(field); err == nil {
			paths[ref.Sum] = blobPath(filepath.Dir(dir), ref) + blobPlain
		}
	})
}

// eachReference calls do with each reference in a segment, as far as it can be read.
func eachReference(seg *segmentReader, do func(ref []byte)) error {
	for {
		raw, hole, err := seg.read()
		if errors.Is(err, io.EOF) || err == nil && hole != nil {
			return nil // the end, or what is being written
		}
		if err != nil {
			return err
		}
		eachBlob(raw.body, do)
	}
}

// eachBlob calls do with the reference to each blob that a record's body names.
func eachBlob(body []byte, do func(ref []byte)) {
	for len(body) >= 6 {
		id := binary.LittleEndian.Uint16(body)
		size := uint64(binary.LittleEndian.Uint32(body[2:]))
		if size > uint64(len(body)-6) {
			return
		}
		if value := body[6 : 6+size]; id < fieldTableSize && fieldTable[id].kind == kindBlob && validRef(value) {
			do(value)
		}
		body = body[6+size:]
	}
}

// treeSize is how much the streams and blobs of a journal take, in bytes.
func treeSize(journal string) (size int64, err error) {
	err = filepath.WalkDir(journal, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return ignoreMissing(err)
		}
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return ignoreMissing(err)
	})
	return size, err
}
