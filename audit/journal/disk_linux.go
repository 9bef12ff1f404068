package journal

import (
	"encoding/hex"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// disk is what the journal asks of the machine to have its bytes outlive it. All
// else that it does to files is undone by a loss of power, wholly or in part.
type disk interface {
	// boot names this start of the machine; zero where the kernel does not tell.
	boot() [16]byte
	// syncData and sync are fdatasync(2) and fsync(2).
	syncData(*os.File) error
	sync(*os.File) error
	// syncDir makes the names in a directory last, and syncNames those in one that is
	// open.
	syncDir(path string) error
	syncNames(dir *os.File) error
}

// thisMachine is the disk of every journal but those of tests.
type thisMachine struct{}

func (thisMachine) boot() (id [16]byte) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", ""))
	if err == nil && len(raw) == len(id) {
		copy(id[:], raw)
	}
	return id
}

func (thisMachine) syncData(file *os.File) error {
	return ignoreInterrupt(func() error { return unix.Fdatasync(int(file.Fd())) })
}

func (thisMachine) sync(file *os.File) error { return file.Sync() }

func (thisMachine) syncNames(dir *os.File) error { return dir.Sync() }

func (thisMachine) syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
