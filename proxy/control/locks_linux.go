package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pgcustos/pgcustos/auth"
)

// locksName is the file of the locks.
const locksName = "locks.json"

// readLocks reads the locks that are in force. A file that cannot be read is an
// error: who was locked out is not to get in for that.
func readLocks(dir string) ([]auth.Lock, error) {
	path := filepath.Join(dir, locksName)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var locks []auth.Lock
	if err == nil {
		err = json.Unmarshal(data, &locks)
	}
	for i := range locks {
		if err == nil {
			err = locks[i].Check()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read, so that nobody knows who is locked out: mend it, or remove it to let everybody in: %w", path, err)
	}
	return locks, nil
}

// writeLocks replaces the file: whenever the machine stops, it is the old one or the
// new one.
func writeLocks(dir string, locks []auth.Lock) error {
	data, err := json.MarshalIndent(locks, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, locksName+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, locksName))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
