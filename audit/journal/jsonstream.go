package journal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// streamedFrom is from which length on a text is written as it is read, in bytes.
const streamedFrom = 1 << 20

// HasLongText reports whether the record's text is a blob that WriteJSON writes as it
// reads it: it need not be loaded.
func (r *Record) HasLongText() bool {
	return r.TextBlob != nil && r.TextBlob.Length >= streamedFrom && r.Text == "" && r.TextFault == ""
}

// WriteJSON writes what MarshalJSON returns, and the end of the line. A long text is
// read twice, and in memory never whole: what is wrong with it is said in its place.
func (r *Record) WriteJSON(w io.Writer) error {
	if r.HasLongText() {
		whole, err := r.readsAsUTF8()
		if err == nil {
			return r.streamJSON(w, whole)
		}
		r.TextFault = err.Error()
	}
	b, err := r.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// readsAsUTF8 reads the text, and says whether it is UTF-8.
func (r *Record) readsAsUTF8() (valid bool, err error) {
	var check utf8Checker
	err = r.copyText(&check)
	return err == nil && !check.broken && len(check.carry) == 0, err
}

func (r *Record) copyText(w io.Writer) error {
	from, err := r.OpenText()
	if err != nil {
		return err
	}
	_, err = io.Copy(w, from)
	return errors.Join(err, from.Close())
}

// streamJSON makes the object with marks in the place of the text, and writes that
// where they stand.
func (r *Record) streamJSON(w io.Writer, valid bool) error {
	j := r.json()
	text, encoded := rand.Text(), rand.Text()
	j.Text, j.TextLength = &text, 0
	if !valid {
		j.TextBase64 = encoded
	}
	object, err := r.encode(&j)
	if err != nil {
		return err
	}
	before, rest, _ := bytes.Cut(object, []byte(text))
	if _, err := w.Write(before); err != nil {
		return err
	}
	escaped := &jsonText{w: w}
	if err := errors.Join(r.copyText(escaped), escaped.close()); err != nil {
		return err
	}
	if !valid {
		before, rest, _ = bytes.Cut(rest, []byte(encoded))
		if _, err := w.Write(before); err != nil {
			return err
		}
		binary := base64.NewEncoder(base64.StdEncoding, w)
		if err := errors.Join(r.copyText(binary), binary.Close()); err != nil {
			return err
		}
	}
	_, err = w.Write(append(rest, '\n'))
	return err
}

// runes cuts a stream where runes end.
type runes struct{ carry []byte }

// take returns what of the stream up to p is whole runes, or none at all. It may be
// used until the next call.
func (s *runes) take(p []byte) []byte {
	b := append(s.carry, p...)
	end := len(b)
	for i := end - 1; i >= max(0, end-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				end = i
			}
			break
		}
	}
	s.carry = append([]byte(nil), b[end:]...)
	return b[:end]
}

type utf8Checker struct {
	runes
	broken bool
}

// Write implements io.Writer.
func (c *utf8Checker) Write(p []byte) (int, error) {
	c.broken = !utf8.Valid(c.take(p)) || c.broken
	return len(p), nil
}

// jsonText writes what is written to it as the inside of a JSON string, as MarshalJSON
// does.
type jsonText struct {
	w io.Writer
	runes
	broken bool // it ended in what is no UTF-8, for which U+FFFD stands once
}

// Write implements io.Writer.
func (t *jsonText) Write(p []byte) (int, error) {
	if err := t.put(t.take(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (t *jsonText) close() error { return t.put(t.carry) }

func (t *jsonText) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	text := valid(string(b))
	if first, size := utf8.DecodeRune(b); t.broken && first == utf8.RuneError && size == 1 {
		text = strings.TrimPrefix(text, "\uFFFD")
	}
	last, size := utf8.DecodeLastRune(b)
	t.broken = last == utf8.RuneError && size == 1
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		return err
	}
	_, err := t.w.Write(EscapeActing(bytes.TrimSuffix(out.Bytes(), []byte("\"\n"))[1:]))
	return err
}
