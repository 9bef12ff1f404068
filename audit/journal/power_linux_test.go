package journal

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
)

const (
	pageSize   = 4096
	sectorSize = 512
)

// powerDisk is a machine that loses its power. What the journal writes goes to
// real files under root, which are but memory to it. Beside them it keeps what
// lasts: of a file its bytes at the start of the last sync that returned, of a
// directory its names at that of the last syncDir. Now and then pages last before
// anybody asks, as a kernel may have it. At the loss it leaves an image, in which
// each sector and each name that changed since is the old or the new one.
type powerDisk struct {
	id         [16]byte // of the boot
	image      string   // path of what is left
	lossAt     int      // the call at which the power goes
	failAt     int      // the call that fails, 0 for none
	root       uint64
	writebacks int           // one page in so many lasts unasked at each call
	lost       chan struct{} // closed at the loss

	mu sync.Mutex
	// Guarded by mu.
	rng   *rand.Rand
	nodes map[uint64]*node // by the number of their inode
	calls int
	ill   bool  // a call has failed
	err   error // of this layer itself
}

// node is a file or a directory. It is held open, so that nothing else gets its
// number.
type node struct {
	file  *os.File
	dir   bool
	busy  bool              // a sync is on its way
	bytes []byte            // of a file, what lasts
	stale []byte            // of a file, what a sync that failed has not written, and no later one will
	names map[string]uint64 // of a directory, what lasts
}

// powerOn makes a machine on which all that is under root lasts. It loses its power
// within so many calls, and before that one call may fail.
func powerOn(t *testing.T, rng *rand.Rand, root, image string, calls int) *powerDisk {
	t.Helper()
	d := &powerDisk{
		image: image, lossAt: 1 + rng.IntN(calls), lost: make(chan struct{}),
		rng: rng, writebacks: 1 + rng.IntN(8), nodes: map[uint64]*node{},
	}
	if rng.IntN(3) == 0 {
		d.failAt = 1 + rng.IntN(d.lossAt)
	}
	for i := range d.id {
		d.id[i] = byte(rng.IntN(255) + 1)
	}
	if d.root = d.adopt(root); d.err != nil {
		t.Fatal(d.err)
	}
	t.Cleanup(func() {
		for _, n := range d.nodes {
			_ = n.file.Close()
		}
	})
	return d
}

// adopt lets all that is under path last.
func (d *powerDisk) adopt(path string) uint64 {
	number := d.node(path)
	n := d.nodes[number]
	if d.err != nil {
		return 0
	}
	if !n.dir {
		n.bytes = d.content(n)
		return number
	}
	n.names = d.list(path)
	for name := range n.names {
		d.adopt(filepath.Join(path, name))
	}
	return number
}

// gone says whether the power was lost. What is acknowledged then, nobody hears.
func (d *powerDisk) gone() bool {
	select {
	case <-d.lost:
		return true
	default:
		return false
	}
}

func (d *powerDisk) boot() [16]byte { return d.id }

func (d *powerDisk) syncData(f *os.File) error { return d.sync(f) }

func (d *powerDisk) sync(f *os.File) error {
	d.mu.Lock()
	n := d.nodes[d.node(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))]
	if d.err != nil {
		d.mu.Unlock()
		return d.err
	}
	before := d.call()
	fails := d.fails()
	now := d.content(n)
	n.busy = true
	d.mu.Unlock()
	runtime.Gosched() // what others write meanwhile need not last
	d.mu.Lock()
	defer d.mu.Unlock()
	n.busy = false
	if before {
		d.lose()
	}
	if fails {
		n.stale = now
		return syscall.EIO
	}
	n.bytes = now
	if d.calls >= d.lossAt {
		d.lose()
	}
	return d.err
}

func (d *powerDisk) syncNames(dir *os.File) error { return d.syncDir(dir.Name()) }

func (d *powerDisk) syncDir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[d.node(path)]
	if d.err != nil {
		return d.err
	}
	if d.call() {
		d.lose()
	}
	if d.fails() {
		return syscall.EIO
	}
	n.names = d.list(path)
	if d.calls >= d.lossAt {
		d.lose()
	}
	return d.err
}

// call counts, and says whether the power goes before the call has its effect.
func (d *powerDisk) call() bool {
	d.calls++
	d.writeBack()
	return d.calls >= d.lossAt && d.rng.IntN(2) == 0
}

// fails says whether this is the call that fails.
func (d *powerDisk) fails() bool {
	if d.calls != d.failAt {
		return false
	}
	d.ill = true
	return true
}

// writeBack lets some pages last that nobody asked for.
func (d *powerDisk) writeBack() {
	for _, number := range slices.Sorted(maps.Keys(d.nodes)) {
		n := d.nodes[number]
		if n.dir || n.busy || d.gone() {
			continue
		}
		now := d.content(n)
		lasts := slices.Clone(n.bytes)
		for p := 0; p < min(len(now), len(lasts)); p += pageSize {
			if d.rng.IntN(d.writebacks) == 0 {
				copy(lasts[p:min(p+pageSize, len(lasts))], now[p:])
			}
		}
		n.bytes = lasts
	}
}

// node returns the number of what is at path, 0 where nothing is.
func (d *powerDisk) node(path string) uint64 {
	file, err := os.Open(path)
	if err != nil {
		d.fail(err)
		return 0
	}
	info, err := file.Stat()
	if err != nil {
		d.fail(err)
		return 0
	}
	number := info.Sys().(*syscall.Stat_t).Ino
	if d.nodes[number] != nil {
		_ = file.Close()
		return number
	}
	d.nodes[number] = &node{file: file, dir: info.IsDir()}
	return number
}

func (d *powerDisk) list(path string) map[string]uint64 {
	names := map[string]uint64{}
	entries, err := os.ReadDir(path)
	if err != nil {
		d.fail(err)
	}
	for _, e := range entries {
		// A file that is being made may take another name meanwhile.
		if at := filepath.Join(path, e.Name()); exists(at) {
			names[e.Name()] = d.node(at)
		}
	}
	return names
}

// content returns what the kernel has to write of a file. Pages whose writing
// failed it takes for written, until they change again.
func (d *powerDisk) content(n *node) []byte {
	b, err := io.ReadAll(io.NewSectionReader(n.file, 0, 1<<30))
	if err != nil {
		d.fail(err)
	}
	for p := 0; p < min(len(b), len(n.stale)); p += pageSize {
		end := min(p+pageSize, len(b), len(n.stale))
		if bytes.Equal(b[p:end], n.stale[p:end]) {
			clear(b[p:end])
			copy(b[p:end], n.bytes[min(p, len(n.bytes)):])
		}
	}
	return b
}

func (d *powerDisk) fail(err error) {
	if d.err == nil {
		d.err = fmt.Errorf("the test's disk: %w", err)
	}
}

// lose takes the power away, once.
func (d *powerDisk) lose() {
	if d.gone() {
		return
	}
	d.leave(d.root, d.image)
	close(d.lost)
}

// leave writes what is left of a file or directory to path.
func (d *powerDisk) leave(number uint64, path string) {
	n := d.nodes[number]
	if !n.dir {
		if err := os.WriteFile(path, d.remains(n), 0o600); err != nil {
			d.fail(err)
		}
		return
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		d.fail(err)
		return
	}
	now := map[string]uint64{}
	if at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", n.file.Fd())); err == nil && exists(at) {
		now = d.list(at)
	}
	all := maps.Clone(now)
	maps.Copy(all, n.names)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if is := d.either(n.names[name], now[name]); is != 0 {
			d.leave(is, filepath.Join(path, name))
		}
	}
}

func (d *powerDisk) either(old, now uint64) uint64 {
	if d.rng.IntN(2) == 0 {
		return old
	}
	return now
}

// remains are the bytes that are left of a file: of a page all of the old, all
// of the new, or each sector as it comes.
func (d *powerDisk) remains(n *node) []byte {
	now, old := d.content(n), n.bytes
	size := len(now)
	if d.rng.IntN(2) == 0 {
		size = len(old)
	}
	b := make([]byte, size)
	copy(b, old)
	newer := d.rng.IntN(11) // pages of ten
	for p := 0; p < size; p += pageSize {
		torn := d.rng.IntN(4) == 0
		take := d.rng.IntN(10) < newer
		for s := p; s < min(p+pageSize, size, len(now)); s += sectorSize {
			if torn {
				take = d.rng.IntN(2) == 0
			}
			if take {
				copy(b[s:min(s+sectorSize, size)], now[s:])
			}
		}
	}
	return b
}
