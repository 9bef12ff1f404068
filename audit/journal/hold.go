package journal

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Hold forbids that retention removes the records of a period.
type Hold struct {
	ID     string    `json:"id"`
	Since  time.Time `json:"since,omitzero"` // zero: from the beginning
	Until  time.Time `json:"until,omitzero"` // zero: without an end; it is not in the period
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

const (
	holdFolder = "holds"
	holdSuffix = ".json"
	maxHold    = 16 << 10 // bytes of a file
	maxReason  = 2 << 10
)

var holdName = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// ErrNoHold says that there is no hold of that id.
var ErrNoHold = errors.New("there is no such hold")

// covers says whether the hold keeps what happened between the two.
func (h *Hold) covers(earliest, latest time.Time) bool {
	return (h.Until.IsZero() || earliest.Before(h.Until)) && (h.Since.IsZero() || !latest.Before(h.Since))
}

// AddHold puts a hold into the journal, for good, and returns it with its id.
func AddHold(journal string, h Hold) (*Hold, error) {
	switch {
	case strings.TrimSpace(h.Reason) == "":
		return nil, errors.New("a hold needs a reason")
	case len(h.Reason) > maxReason:
		return nil, fmt.Errorf("a reason of %d bytes: %d are the most", len(h.Reason), maxReason)
	case !h.Since.IsZero() && !h.Until.IsZero() && !h.Since.Before(h.Until):
		return nil, errors.New("the hold's period ends before it begins")
	}
	if _, err := os.Stat(journal); err != nil {
		return nil, err
	}
	h.ID, h.At = strings.ToLower(rand.Text()[:12]), time.Now().UTC()
	b, err := json.Marshal(&h)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(journal, holdFolder)
	if err := os.Mkdir(folder, 0o700); err == nil {
		if err := syncFolder(journal); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	path := filepath.Join(folder, h.ID+holdSuffix)
	if err := writeSynced(path+".tmp", append(b, '\n')); err != nil {
		return nil, err
	}
	return &h, errors.Join(os.Rename(path+".tmp", path), syncFolder(folder))
}

// ReleaseHold takes a hold away, for good.
func ReleaseHold(journal, id string) error {
	if !holdName.MatchString(id) {
		return ErrNoHold
	}
	folder := filepath.Join(journal, holdFolder)
	err := os.Remove(filepath.Join(folder, id+holdSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoHold
	}
	return errors.Join(err, syncFolder(folder))
}

// Holds lists the holds of a journal, the oldest first. One that cannot be read is
// an error: whoever would remove records must not go on.
func Holds(journal string) ([]Hold, error) {
	folder := filepath.Join(journal, holdFolder)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Hold
	for _, e := range entries {
		id, ours := strings.CutSuffix(e.Name(), holdSuffix)
		if !ours {
			continue
		}
		h, err := readHold(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("the hold %s: %w", e.Name(), err)
		}
		if h.ID != id {
			return nil, fmt.Errorf("the hold %s says that it is %q", e.Name(), h.ID)
		}
		all = append(all, *h)
	}
	slices.SortFunc(all, func(a, b Hold) int { return a.At.Compare(b.At) })
	return all, nil
}

func readHold(path string) (*Hold, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	b, err := io.ReadAll(io.LimitReader(f, maxHold+1))
	if err != nil {
		return nil, err
	}
	h := &Hold{}
	if len(b) > maxHold || json.Unmarshal(b, h) != nil || h.Reason == "" || h.At.IsZero() {
		return nil, errors.New("it is damaged")
	}
	return h, nil
}

// writeSynced writes a new file, or over one that was left, and syncs it.
func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
