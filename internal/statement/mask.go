package statement

import (
	"bytes"
	"strings"
	"unsafe"

	"github.com/pgcustos/pgcustos/internal/statement/sqllex"
)

// Mask returns the text with each literal (string, dollar-quoted, bit string,
// number) replaced by a question mark; names, $1 and comments that give no secret away
// stay. It reads any bytes. Where the end of a literal depends on
// standard_conforming_strings, and where it is missing, everything up to the end of the
// text is replaced, so that no part of a literal gets through under either setting. So is
// what a hider finds.
func Mask(text []byte) string {
	return strings.ToValidUTF8(string(appendMasked(nil, text, false)), "\uFFFD")
}

// AppendMasked appends Mask of a text to dst; of the comments there is no more than
// that they are there. It allocates only what dst lacks.
func AppendMasked(dst []byte, text string) []byte {
	return appendMasked(dst, unsafe.Slice(unsafe.StringData(text), len(text)), true)
}

// maskedComment stands for a comment of any kind.
const maskedComment = "/*?*/"

func appendMasked(dst, text []byte, comments bool) []byte {
	l, kept, h := sqllex.New(text), 0, hider{}
	for {
		t := l.Next()
		if t.Kind == sqllex.End {
			break
		}
		mark := "?"
		if t.Kind == sqllex.Comment && !t.Open {
			if !comments && !TellingComment(text[t.Start:t.End]) {
				continue
			}
			mark = maskedComment
		} else {
			hide, joined := h.next(t.Kind, t.Open, int64(t.Start), int64(t.End), text[t.Start:min(t.End, t.Start+longestSymbol)])
			if !hide {
				continue
			}
			if joined {
				mark = ""
			}
		}
		dst = append(append(dst, text[kept:t.Start]...), mark...)
		if kept = t.End; t.Open || t.Shifts {
			return dst
		}
	}
	return append(dst, text[kept:]...)
}

// Sensitive computes Judgement.Sensitive for a text.
func Sensitive(text []byte) bool {
	return sensitiveWithin(text, 0) || backslashBehindHigh(text)
}

// maxNesting bounds how deep dollar-quoted bodies within bodies are looked into.
const maxNesting = 8

// sensitiveWithin tells if a plain literal of the text, or of a body that it
// quotes by dollars, holds a backslash.
func sensitiveWithin(text []byte, depth int) bool {
	if bytes.IndexByte(text, '\\') < 0 {
		return false
	}
	if depth > maxNesting {
		return true
	}
	for l := sqllex.New(text); ; {
		t := l.Next()
		switch {
		case t.Kind == sqllex.End:
			return false
		case t.Backslash:
			return true
		case t.Kind == sqllex.Dollar && sensitiveWithin(t.Content(text), depth+1):
			return true
		}
	}
}

// backslashBehindHigh tells if a backslash directly follows a byte outside
// ASCII: in SJIS, BIG5, GBK and their kin it can be that character's second half.
func backslashBehindHigh(text []byte) bool {
	for i := 1; i < len(text); i++ {
		n := bytes.IndexByte(text[i:], '\\')
		if n < 0 {
			return false
		}
		if i += n; text[i-1] >= 0x80 {
			return true
		}
	}
	return false
}
