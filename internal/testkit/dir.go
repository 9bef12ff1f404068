package testkit

import (
	"fmt"
	"os"
	"path/filepath"
)

// marker is the file by which a directory is known to be the testkit's own, so
// that what an earlier run left in it may be removed.
const marker = ".pgcustos-testkit"

// longestDir bounds the directory of a server: the paths of its Unix sockets
// have to fit into 107 bytes (unix(7)).
const longestDir = 75

// prepareDir makes dir an empty directory of the testkit's own. An empty dir
// stands for a new temporary one, which is the caller's to remove.
func prepareDir(dir, prefix string) (path string, temporary bool, err error) {
	if dir == "" {
		dir, err = os.MkdirTemp(shortTemp(), prefix)
		if err != nil {
			return "", false, fmt.Errorf("make a directory: %w", err)
		}
		temporary = true
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", false, err
	}
	if len(dir) > longestDir {
		return "", false, fmt.Errorf("%s is longer than %d bytes: the servers' Unix sockets would not fit", dir, longestDir)
	}
	if err := clearDir(dir); err != nil {
		return "", false, err
	}
	return dir, temporary, os.WriteFile(filepath.Join(dir, marker), nil, 0o600)
}

func clearDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, marker)); err != nil {
		return fmt.Errorf("%s is neither empty nor an earlier run's: %w", dir, err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// shortTemp is the directory for temporary files, unless its path is too long
// for what is to stand in it.
func shortTemp() string {
	if dir := os.TempDir(); len(dir) <= longestDir/2 {
		return dir
	}
	return "/tmp"
}
