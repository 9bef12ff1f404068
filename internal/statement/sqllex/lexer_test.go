package sqllex

import (
	"strings"
	"testing"
)

// kinds writes a text's tokens as one letter each.
func kinds(text string) string {
	const letters = ".cwi" + "seubd" + "np" + "o"
	var out strings.Builder
	for l := New([]byte(text)); ; {
		t := l.Next()
		if t.Kind == End {
			return out.String()
		}
		out.WriteByte(letters[t.Kind])
		if t.Open {
			out.WriteByte('!')
		}
	}
}

func TestKinds(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " \t\r\n\f\v": "", "select a1$b": "ww", `"a""b" u&"c"`: "ii", "'a''b'": "s", "'a'\n'b'": "s", "'a' 'b'": "ss",
		"e'a\\'b' E'c'": "ee", "U&'a'": "u", "b'1' X'f'": "bb", "B''''": "bs", "n'a'": "ws", "$$a$$ $a$b$$c$a$": "dd",
		"$1 $1a $": "ppwo", "1 1.5 .5 1e-5 0xff 1_0": "nnnnnn", "1..2": "non", "a--b\nc": "wcw", "a/*/**/*/b": "wcw",
		"a+-b": "wow", "a+--b": "woc", "a:=b::c": "wowoow", "'a": "s!", "\"a": "i!", "$$a": "d!", "/*a": "c!", "e'a\\": "e!",
		"\x80'a'": "ws", "a'b'": "ws", "\x00": "o",
	} {
		if got := kinds(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestContent(t *testing.T) {
	for text, want := range map[string]string{
		"'a'": "a", "E'a'": "a", "U&'a'": "a", "$x$a$x$": "a", "$x$a": "a", "'a": "a", "''": "",
	} {
		l := New([]byte(text))
		if got := string(l.Next().Content([]byte(text))); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// Every byte belongs to one token or is white space, whatever the bytes are.
func FuzzNext(f *testing.F) {
	for _, s := range []string{"select 'a'", "$$", "e'\\", "/*", "u&\"", ".1.", "'a'\n--\r'"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, end := New(text), 0
		for {
			token := l.Next()
			if strings.Trim(string(text[end:token.Start]), " \t\n\r\f\v") != "" {
				t.Fatalf("%q is left out", text[end:token.Start])
			}
			if token.Kind == End {
				return
			}
			if token.End <= token.Start {
				t.Fatalf("an empty token at %d", token.Start)
			}
			if token.Kind.Text() {
				_ = token.Content(text)
			}
			end = token.End
		}
	})
}
