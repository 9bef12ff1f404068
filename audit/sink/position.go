package sink

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The positions of a sink stand in the journal's directory, under
// sinks/NAME/STREAM.pos, one line each:
//
//	pgcustos-position 1 STREAM SEQUENCE SINCE SAVED CRC32C
//
// SINCE is in Unix nanoseconds: when the file was written, everything before it
// had been delivered, of every stream; 0 where that is not known. SAVED numbers the savings of a sink, so
// that the newest SINCE can be told from older ones when a crash came between
// two files. The checksum is over what is before it, in hexadecimal.
const (
	positionMagic  = "pgcustos-position 1 "
	positionSuffix = ".pos"
	maxPosition    = 1024 // bytes of a file
)

// streamName is what a stream's directory is called, with the seconds of its
// start (FORMAT.md, section 1).
var streamName = regexp.MustCompile(`^[A-Za-z0-9._-]+-([0-9]{1,12})-[0-9a-f]{16}$`)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// position is what one file holds.
type position struct {
	stream   string
	sequence uint64
	since    time.Time
	saved    uint64
}

func (p *position) encode() []byte {
	since := int64(0) // not known
	if !p.since.IsZero() {
		since = p.since.UnixNano()
	}
	line := fmt.Appendf(nil, "%s%s %d %d %d ", positionMagic, p.stream, p.sequence, since, p.saved)
	return fmt.Appendf(line, "%08x\n", crc32.Checksum(line, castagnoli))
}

var errPosition = errors.New("it is not a position, or damaged")

func parsePosition(b []byte, stream string) (*position, error) {
	line, whole := strings.CutSuffix(string(b), "\n")
	cut := strings.LastIndexByte(line, ' ') + 1
	if !whole || line[cut:] != fmt.Sprintf("%08x", crc32.Checksum([]byte(line[:cut]), castagnoli)) {
		return nil, errPosition
	}
	rest, ours := strings.CutPrefix(line[:cut], positionMagic)
	f := strings.Fields(rest)
	if !ours || len(f) != 4 || f[0] != stream {
		return nil, errPosition
	}
	sequence, err1 := strconv.ParseUint(f[1], 10, 64)
	since, err2 := strconv.ParseInt(f[2], 10, 64)
	saved, err3 := strconv.ParseUint(f[3], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("%w: %w", errPosition, err)
	}
	p := &position{stream: stream, sequence: sequence, saved: saved}
	if since != 0 {
		p.since = time.Unix(0, since)
	}
	return p, nil
}

// shelf is the directory with the positions of one sink.
type shelf struct {
	dir   string
	saved uint64
}

func newShelf(journal, name string) *shelf {
	return &shelf{dir: filepath.Join(journal, "sinks", name)}
}

// load reads the positions. Those of streams that are gone are removed; those
// that cannot be read are reported, and their streams are delivered anew.
func (s *shelf) load(journal string, report func(file string, err error)) (Positions, error) {
	found := Positions{Streams: map[string]uint64{}}
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	for _, e := range entries {
		stream, ours := strings.CutSuffix(e.Name(), positionSuffix)
		if !ours || !streamName.MatchString(stream) {
			continue
		}
		file := filepath.Join(s.dir, e.Name())
		if _, err := os.Stat(filepath.Join(journal, stream)); errors.Is(err, fs.ErrNotExist) {
			if err := os.Remove(file); err != nil {
				return found, err
			}
			continue
		}
		p, err := readPosition(file, stream)
		if err != nil {
			report(file, err)
			continue
		}
		found.Streams[stream] = p.sequence
		if p.saved >= s.saved {
			s.saved, found.Since = p.saved, p.since
		}
	}
	return found, nil
}

func readPosition(file, stream string) (*position, error) {
	info, err := os.Lstat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPosition {
		return nil, errPosition
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parsePosition(b, stream)
}

// save writes the positions of some streams, all with the same since.
func (s *shelf) save(sequences map[string]uint64, since time.Time) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	s.saved++
	for stream, sequence := range sequences {
		p := position{stream: stream, sequence: sequence, since: since, saved: s.saved}
		if err := s.write(stream+positionSuffix, p.encode()); err != nil {
			return err
		}
	}
	return syncDir(s.dir)
}

// write puts a file in the place of another, so that either is there, whole.
func (s *shelf) write(name string, b []byte) (err error) {
	path := filepath.Join(s.dir, name)
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Delivered reads what each sink that keeps its positions in the journal's
// directory has taken: by sink and stream, the sequence number of the last record.
// A file that cannot be read counts as nothing taken.
func Delivered(journal string) (map[string]map[string]uint64, error) {
	entries, err := os.ReadDir(filepath.Join(journal, "sinks"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]uint64{}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(journal, "sinks", e.Name()))
		if err != nil {
			return nil, err
		}
		out[e.Name()] = map[string]uint64{}
		for _, f := range files {
			stream, ours := strings.CutSuffix(f.Name(), positionSuffix)
			if !ours {
				continue
			}
			if p, err := readPosition(filepath.Join(journal, "sinks", e.Name(), f.Name()), stream); err == nil {
				out[e.Name()][stream] = p.sequence
			}
		}
	}
	return out, nil
}

// DeliveredOf is the sequence of the last record of a stream that a sink has taken, 0
// where it has no position that can be read.
func DeliveredOf(journal, name, stream string) (uint64, error) {
	p, err := readPosition(filepath.Join(journal, "sinks", name, stream+positionSuffix), stream)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errPosition):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return p.sequence, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
