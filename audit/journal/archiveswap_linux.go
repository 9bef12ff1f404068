package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// archive puts a container in the place of a sealed segment. It returns no label
// where the segment has no seal yet, or holds nothing. Cut short at any point, it
// leaves the segment or its container, and can be done again.
func (a *archiver) archive(dir string, number uint64, start [32]byte) (*Label, error) {
	seg, err := openSegment(dir, number)
	if err != nil {
		return nil, err
	}
	defer seg.close()
	if sealed, err := isSealed(dir, number); err != nil || !sealed {
		return nil, err
	}
	packed := seg.path + packedSuffix
	index := filepath.Join(dir, indexName(number))
	x := a.indexer(seg, start)
	end, err := a.pack(seg, packed+".tmp", x)
	if err != nil {
		return nil, errors.Join(err, removeIfThere(packed+".tmp"))
	}
	content, label, err := a.prove(seg.file, packed+".tmp", x, end)
	if err == nil {
		err = a.writeFile(index+".tmp", content)
	}
	if err != nil {
		return nil, errors.Join(err, removeIfThere(packed+".tmp"), removeIfThere(index+".tmp"))
	}
	if err := a.swap(dir, seg.path, packed, index); err != nil {
		return nil, err
	}
	a.observer.Archived(seg.path, label.Size, label.Stored+int64(len(content)))
	return label, nil
}

// isSealed says whether a segment has ended and was cut behind its seal.
func isSealed(dir string, number uint64) (bool, error) {
	seg, err := openSegment(dir, number)
	if err != nil {
		return false, err
	}
	defer seg.close()
	if !seg.head.begun {
		return false, nil
	}
	return seg.sealAtEnd()
}

// swap gives the files their names, and only then removes the plain segment.
func (a *archiver) swap(dir, plain, packed, index string) error {
	return a.take([]step{
		{"name the index", func() error { return os.Rename(index+".tmp", index) }},
		{"name the container", func() error { return os.Rename(packed+".tmp", packed) }},
		{"sync the names", func() error { return a.disk.syncDir(dir) }},
		{"remove the plain segment", func() error { return os.Remove(plain) }},
		{"sync the removal", func() error { return a.disk.syncDir(dir) }},
	})
}

// step is what a crash can come before, or behind.
type step struct {
	what string
	do   func() error
}

func (a *archiver) take(steps []step) error {
	for _, s := range steps {
		if err := a.step(s.what); err != nil {
			return err
		}
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

func (a *archiver) writeFile(path string, content []byte) (err error) {
	if err := removeIfThere(path); err != nil {
		return err
	}
	if err := a.step("create the index"); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = a.step("sync the index")
	}
	if err == nil {
		err = a.disk.sync(file)
	}
	return errors.Join(err, file.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
