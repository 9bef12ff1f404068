package statement

import (
	"context"
	"io"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/internal/statement/sqllex"
)

// MaskTo writes Mask of a text that is too large to be held: text is read in pieces,
// some of it twice, and the memory that it takes does not grow with it. It ends early
// with ctx's error, or with the first of text and w. One bound is its own: behind a
// dollar-quote whose tag is longer than sqllex.MaxTag all is masked.
func MaskTo(ctx context.Context, w io.Writer, text io.ReaderAt, size int64) error {
	return maskTo(ctx, w, text, size, false)
}

// HideTo is MaskTo without what comments say, as AppendMasked has it.
func HideTo(ctx context.Context, w io.Writer, text io.ReaderAt, size int64) error {
	return maskTo(ctx, w, text, size, true)
}

func maskTo(ctx context.Context, w io.Writer, text io.ReaderAt, size int64, comments bool) error {
	m := streamMasker{
		lex: sqllex.NewStream(text, size),
		out: validWriter{to: w},
		ctx: ctx, comments: comments,
	}
	m.run()
	if m.err == nil {
		m.err = m.lex.Err()
	}
	if m.err == nil {
		m.err = m.out.end()
	}
	return m.err
}

// streamMasker does what Mask does, on a stream.
type streamMasker struct {
	lex *sqllex.Stream
	out validWriter
	ctx context.Context
	buf [32 << 10]byte
	err error

	token [longestSymbol]byte

	comments bool // are masked, too
}

func (m *streamMasker) run() {
	var kept int64
	var h hider
	for n := 0; m.err == nil; n++ {
		if n%1024 == 0 && m.ctx.Err() != nil {
			m.err = m.ctx.Err()
			return
		}
		t := m.lex.Next()
		if t.Kind == sqllex.End {
			break
		}
		mark := "?"
		if t.Kind == sqllex.Comment && !t.Open {
			if !m.comments && !m.tells(t) {
				continue
			}
			mark = maskedComment
		} else {
			var text []byte
			if !t.Kind.Literal() && !t.Open {
				text = m.lex.Begin(t, m.token[:])
			}
			hide, joined := h.next(t.Kind, t.Open, t.Start, t.End, text)
			if !hide {
				continue
			}
			if joined {
				mark = ""
			}
		}
		m.copy(kept, t.Start)
		m.write([]byte(mark))
		if kept = t.End; t.Open || t.Shifts {
			return
		}
	}
	m.copy(kept, m.lex.Size())
}

// tells is TellingComment of a token.
func (m *streamMasker) tells(t sqllex.StreamToken) bool {
	if t.End-t.Start > maxTold {
		return true
	}
	comment := m.buf[:t.End-t.Start]
	m.err = m.lex.ReadAt(comment, t.Start)
	return m.err != nil || TellingComment(comment)
}

// copy writes a part of the text.
func (m *streamMasker) copy(from, to int64) {
	for from < to && m.err == nil {
		if m.err = m.ctx.Err(); m.err != nil {
			return
		}
		n := min(to-from, int64(len(m.buf)))
		if err := m.lex.ReadAt(m.buf[:n], from); err != nil {
			m.err = err
			return
		}
		m.write(m.buf[:n])
		from += n
	}
}

func (m *streamMasker) write(b []byte) {
	if m.err == nil {
		m.err = m.out.write(b)
	}
}

// validWriter writes bytes as strings.ToValidUTF8 would with U+FFFD: a run of bytes
// that are no UTF-8 becomes one of it, in whatever pieces they come.
type validWriter struct {
	to      io.Writer
	rest    [utf8.UTFMax]byte // the beginning of a character whose end is to come
	n       int
	invalid bool // the last byte was
	buf     [4 << 10]byte
	have    int
}

func (w *validWriter) write(b []byte) error {
	for len(b) > 0 {
		if w.n == 0 && b[0] < utf8.RuneSelf {
			w.invalid = false
			if err := w.put(b[:1]); err != nil {
				return err
			}
			b = b[1:]
			continue
		}
		w.rest[w.n] = b[0]
		w.n++
		b = b[1:]
		if err := w.settle(false); err != nil {
			return err
		}
	}
	return nil
}

// settle takes off rest what can be told; all of it at the end.
func (w *validWriter) settle(end bool) error {
	for w.n > 0 && (end || utf8.FullRune(w.rest[:w.n])) {
		r, size := utf8.DecodeRune(w.rest[:w.n])
		valid := r != utf8.RuneError || size > 1
		piece := w.rest[:size]
		if !valid {
			piece = []byte("\uFFFD")
		}
		if valid || !w.invalid {
			if err := w.put(piece); err != nil {
				return err
			}
		}
		w.invalid = !valid
		w.n = copy(w.rest[:], w.rest[size:w.n])
	}
	return nil
}

// put gathers what is written: it comes in small pieces.
func (w *validWriter) put(b []byte) error {
	if w.have+len(b) > len(w.buf) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.have += copy(w.buf[w.have:], b)
	return nil
}

func (w *validWriter) flush() error {
	_, err := w.to.Write(w.buf[:w.have])
	w.have = 0
	return err
}

func (w *validWriter) end() error {
	if err := w.settle(true); err != nil {
		return err
	}
	return w.flush()
}
