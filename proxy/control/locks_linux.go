package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/durable"
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

func writeLocks(dir string, locks []auth.Lock) error {
	data, err := json.MarshalIndent(locks, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(dir, locksName), append(data, '\n'))
}
