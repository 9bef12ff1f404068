package journal

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openFile opens a file of a journal for reading. Whatever else has its name is a
// *CorruptionError: a pipe would be waited for, and a device has no end.
func openFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	var info fs.FileInfo
	if err == nil {
		info, err = file.Stat()
		if err == nil && info.Mode().IsRegular() {
			return file, nil
		}
		_ = file.Close()
	} else if there, at := os.Stat(path); at == nil && !there.Mode().IsRegular() {
		info = there // a socket cannot be opened at all
	}
	switch {
	case info != nil:
		return nil, &CorruptionError{File: path, Reason: "it is no file: " + info.Mode().String()}
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENOTDIR):
		return nil, &CorruptionError{File: path, Reason: "it is no file: " + err.Error()}
	}
	return nil, err
}
