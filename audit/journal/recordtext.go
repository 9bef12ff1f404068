package journal

import (
	"errors"
	"io"
	"strings"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

func (r *Record) setBlob(id uint16, v []byte) error {
	ref, err := decodeRef(v)
	switch {
	case err != nil:
	case id == 63:
		r.TextBlob = ref
	case id == 76:
		r.parameters().Blob = ref
	}
	return err
}

// Withheld reports whether a rule keeps the text off the record.
func (r *Record) Withheld() bool { return r.Form == statement.Withheld.String() }

// TextLength is the length of the record's text in bytes, also where Text is not all
// of it.
func (r *Record) TextLength() int64 {
	if r.TextBlob != nil {
		return r.TextBlob.Length
	}
	return max(r.length, int64(len(r.Text)))
}

// Shortened is a copy with another Text, the head of the whole one. It says how long
// that is (TextLength), and so does its JSON.
func (r *Record) Shortened(text string) *Record {
	short := *r
	short.length, short.Text = r.TextLength(), text
	return &short
}

// OpenText reads the record's text, whole.
func (r *Record) OpenText() (io.ReadCloser, error) {
	if r.TextBlob == nil {
		return io.NopCloser(strings.NewReader(r.Text)), nil
	}
	return r.openBlob(r.TextBlob)
}

func (r *Record) openBlob(ref *audit.BlobRef) (io.ReadCloser, error) {
	if r.sealed != nil {
		return r.sealed.open(ref)
	}
	if r.journal == "" {
		return nil, errors.New("the record is not of a journal")
	}
	return OpenBlob(r.journal, ref)
}

// LoadText sets Text to the first bytes of a text that is a blob, at most so many;
// to all of it where most is 0. Of others it changes nothing. Where the blob cannot
// be read, TextFault says why, and that is the error.
func (r *Record) LoadText(most int64) error {
	if r.TextBlob == nil {
		return nil
	}
	from, err := r.OpenText()
	if err == nil {
		r.Text, err = readText(from, r.TextBlob.Length, most)
		err = errors.Join(err, from.Close())
	}
	if err != nil {
		r.TextFault = err.Error()
	}
	return err
}

func readText(from io.Reader, length, most int64) (string, error) {
	if most > 0 && most < length {
		from, length = io.LimitReader(from, most), most
	}
	var b strings.Builder
	b.Grow(int(min(length, 1<<20))) // what a file says is not believed at once
	_, err := io.Copy(&b, from)
	return b.String(), err
}
