package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// maxFrame bounds the plain bytes of a container's frame, and with it what a
// reader holds of it.
const maxFrame = 2 << 20

// container is a sealed segment cut into zstd frames (FORMAT.md, section 12). It
// reads the segment's plain bytes. It is not safe for concurrent use.
type container struct {
	file   io.ReaderAt
	closer io.Closer
	stored int64 // size of the file
	path   string
	frames []frame

	cur    int    // the frame that plain holds; -1: none
	plain  []byte // of that frame
	packed []byte // scratch
}

// frame is one frame of a container.
type frame struct {
	at, size       int64 // of its plain bytes, in the segment
	stored, length int64 // of the frame, in the file
}

func (f *frame) end() int64 { return f.at + f.size }

// decoder decodes frames for all readers: it is safe for concurrent use, and
// refuses what would become larger than a frame.
var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxFrame), zstd.WithDecoderConcurrency(0))
})

func openContainer(path string) (*container, error) {
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return newContainer(file, file, info.Size(), path)
}

// newContainer opens the container in a file. It owns the closer, also where it fails.
func newContainer(file io.ReaderAt, closer io.Closer, size int64, path string) (*container, error) {
	c := &container{file: file, closer: closer, stored: size, path: path, cur: -1}
	if err := c.readTable(); err != nil {
		_ = closer.Close()
		return nil, err
	}
	return c, nil
}

// whole reads the container's file.
func (c *container) whole() io.Reader { return io.NewSectionReader(c.file, 0, c.stored) }

func (c *container) corrupt(at int64, reason string) error {
	return &CorruptionError{File: c.path, Offset: at, Reason: reason}
}

const (
	tableHead  = 8 // of the skippable frame
	tableEntry = 8 // of a frame
	tableFoot  = 9 // behind the entries
	maxFrames  = 1 << 20
	skippable  = 0x184d2a5e
	seekable   = 0x8f92eab1
	fewestRows = 2 // the header and the seal
)

// readTable reads the table of frames at the file's end.
func (c *container) readTable() error {
	size := c.stored
	if size < tableHead+tableFoot {
		return c.corrupt(0, "the file is too short for a container")
	}
	foot := make([]byte, tableFoot)
	if _, err := c.file.ReadAt(foot, size-tableFoot); err != nil {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(foot))
	begin := size - tableFoot - n*tableEntry - tableHead
	if binary.LittleEndian.Uint32(foot[5:]) != seekable || foot[4] != 0 || n < fewestRows || n > maxFrames || begin < 0 {
		return c.corrupt(size-tableFoot, "the container does not end with its table of frames")
	}
	table := make([]byte, tableHead+n*tableEntry)
	if _, err := c.file.ReadAt(table, begin); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(table) != skippable || int64(binary.LittleEndian.Uint32(table[4:])) != n*tableEntry+tableFoot {
		return c.corrupt(begin, "the table of frames has no beginning")
	}
	c.frames = parseTable(table[tableHead:])
	last := &c.frames[n-1]
	if c.frames[0].size != 4096 || last.size != 96 || last.stored+last.length != begin {
		return c.corrupt(begin, "the table of frames does not fit the container")
	}
	for i := range c.frames {
		if f := &c.frames[i]; f.size < 1 || f.size > maxFrame || f.length < 1 || f.length > 2*maxFrame {
			return c.corrupt(begin, fmt.Sprintf("frame %d cannot have %d bytes, and %d when it is unpacked", i+1, f.length, f.size))
		}
	}
	return nil
}

func parseTable(b []byte) []frame {
	frames := make([]frame, 0, len(b)/tableEntry)
	var at, stored int64
	for ; len(b) > 0; b = b[tableEntry:] {
		f := frame{
			at: at, stored: stored,
			length: int64(binary.LittleEndian.Uint32(b)), size: int64(binary.LittleEndian.Uint32(b[4:])),
		}
		frames = append(frames, f)
		at, stored = f.end(), stored+f.length
	}
	return frames
}

// frameOf is the number of the frame that has the plain byte at off, which the
// container has.
func (c *container) frameOf(off int64) int {
	if c.cur >= 0 && off >= c.frames[c.cur].at && off < c.frames[c.cur].end() {
		return c.cur
	}
	return sort.Search(len(c.frames), func(i int) bool { return c.frames[i].end() > off })
}

// size is that of the segment.
func (c *container) size() (int64, error) { return c.frames[len(c.frames)-1].end(), nil }

// ReadAt implements io.ReaderAt on the segment's plain bytes. A frame that cannot
// be unpacked is a *CorruptionError.
func (c *container) ReadAt(p []byte, off int64) (int, error) {
	i := sort.Search(len(c.frames), func(i int) bool { return c.frames[i].end() > off })
	n := 0
	for ; n < len(p); i++ {
		if i == len(c.frames) {
			return n, io.EOF
		}
		if err := c.load(i); err != nil {
			return n, err
		}
		n += copy(p[n:], c.plain[off+int64(n)-c.frames[i].at:])
	}
	return n, nil
}

// load unpacks frame i.
func (c *container) load(i int) (err error) {
	if c.cur == i {
		return nil
	}
	c.cur = -1
	c.plain, c.packed, err = c.unpack(&c.frames[i], c.plain, c.packed)
	if err == nil {
		c.cur = i
	}
	return err
}

// unpack unpacks a frame into plain, by way of packed: what they held is lost, and
// both come back. It is safe for concurrent use.
func (c *container) unpack(f *frame, plain, packed []byte) (p, k []byte, err error) {
	d, err := decoder()
	if err != nil {
		return plain, packed, err
	}
	if int64(cap(packed)) < f.length {
		packed = make([]byte, f.length)
	}
	packed = packed[:f.length]
	if _, err := c.file.ReadAt(packed, f.stored); err != nil {
		return plain, packed, err
	}
	out, err := d.DecodeAll(packed, plain[:0])
	if err != nil {
		return plain, packed, c.corrupt(f.at, fmt.Sprintf("the frame at byte %d of the file cannot be unpacked: %v", f.stored, err))
	}
	if int64(len(out)) != f.size {
		return out, packed, c.corrupt(f.at, fmt.Sprintf("the frame at byte %d of the file holds %d bytes instead of %d", f.stored, len(out), f.size))
	}
	return out, packed, nil
}

// Close implements io.Closer.
func (c *container) Close() error { return c.closer.Close() }

// containerWriter writes a container.
type containerWriter struct {
	to    io.Writer
	pack  *zstd.Encoder
	pace  *pace
	frame []byte // what the next frame holds
	block int64  // that it is of
	out   bytes.Buffer
	table bytes.Buffer
	count uint32
}

func newContainerWriter(to io.Writer, p *pace) (*containerWriter, error) {
	// A third less processor time than the default level, for 3 % of room.
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	return &containerWriter{to: to, pack: pack, pace: p}, nil
}

// add puts in the record at off, or the header or the seal. One that is larger than a
// frame has frames of its own; others are not parted. A frame is of one block, so that
// what its records refer to is in it. It returns the number of the frame that the record
// begins in.
func (w *containerWriter) add(record []byte, off int64) (number int, err error) {
	block := off / shareBlock
	if block != w.block || len(w.frame)+len(record) > maxFrame {
		if err := w.cut(); err != nil {
			return 0, err
		}
	}
	w.block = block
	number = int(w.count)
	if len(record) <= maxFrame {
		w.frame = append(w.frame, record...)
		return number, nil
	}
	for len(record) > 0 {
		n := min(len(record), maxFrame)
		w.frame = append(w.frame, record[:n]...)
		record = record[n:]
		if err := w.cut(); err != nil {
			return 0, err
		}
	}
	return number, nil
}

// cut ends the frame.
func (w *containerWriter) cut() error {
	if len(w.frame) == 0 {
		return nil
	}
	if err := w.compress(); err != nil {
		return err
	}
	w.table.Write(binary.LittleEndian.AppendUint32(nil, uint32(w.out.Len())))
	w.table.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(w.frame))))
	w.count++
	w.frame = w.frame[:0]
	_, err := w.out.WriteTo(w.to)
	return err
}

// compress leaves the frame, compressed, in out.
func (w *containerWriter) compress() error {
	w.out.Reset()
	w.pack.ResetContentSize(&w.out, int64(len(w.frame)))
	for rest := w.frame; len(rest) > 0; {
		n := min(len(rest), pieceBytes)
		if _, err := w.pack.Write(rest[:n]); err != nil {
			return err
		}
		w.pace.did(n)
		rest = rest[n:]
	}
	return w.pack.Close()
}

// close ends the container with its table.
func (w *containerWriter) close() error {
	err := w.cut()
	head := binary.LittleEndian.AppendUint32(nil, skippable)
	head = binary.LittleEndian.AppendUint32(head, uint32(w.table.Len()+tableFoot))
	foot := binary.LittleEndian.AppendUint32(nil, w.count)
	foot = binary.LittleEndian.AppendUint32(append(foot, 0), seekable)
	_, wrote := w.to.Write(append(append(head, w.table.Bytes()...), foot...))
	return errors.Join(err, wrote, w.pack.Close())
}
