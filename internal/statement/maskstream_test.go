package statement

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// masked is a text as MaskTo writes it.
func masked(t testing.TB, text []byte) string {
	t.Helper()
	var out strings.Builder
	if err := MaskTo(t.Context(), &out, bytes.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var maskSeeds = []string{
	"", "select 'a'", "select 'a'\n--c\n'b', 1", "'a' --c", "'a'\n--c", "'a'\n  'b", "$$a$$ $x$b$y$c$x$ $x", "$1 $1a $ $a", "e'a\\'b' E'\\", "\"a\"\"b", "U&'\\'",
	"/* a /* b */ c */ 1", "/* a /* b */ 1", "alter role x password secret", "password 'x", "'a\\' b", "\xff\xfe'a'\xff", "é\xc3", "\xe4\xb8", "1..2 1e-5 .5 1+-2 a--b", "b'1''0' x'f'",
	"n'a' a'b' $a$b'$a$ : := :: .. ''", "\x00'\x00", "$é$'$é$",
}

// The stream's output is Mask's.
func FuzzMaskTo(f *testing.F) {
	for _, s := range maskSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := masked(t, text), Mask(text); got != want {
			t.Errorf("%q:\n%q, want\n%q", text, got, want)
		}
	})
}

// Texts of many windows, in which each piece stands at every place of a window in
// time.
func TestMaskToIsMask(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 12 {
		var text []byte
		for len(text) < 200<<10 {
			switch s := maskSeeds[rng.IntN(len(maskSeeds))]; rng.IntN(5) {
			case 0:
				text = append(text, strings.Repeat(s, rng.IntN(500))...)
			case 1:
				text = append(text, strings.Repeat(" \n\t"[rng.IntN(3):][:1], rng.IntN(70_000))...)
			case 2:
				text = append(text, "'"+strings.Repeat("long", rng.IntN(20_000))+"'\n"...)
			default:
				text = append(text, s+" "...)
			}
		}
		if round%2 == 0 { // else nearly all is within what is open
			text = bytes.ReplaceAll(text, []byte("\\'"), []byte("x"))
			text = bytes.ReplaceAll(text, []byte("/*"), []byte("--"))
		}
		if got, want := masked(t, text), Mask(text); got != want {
			i := 0
			for i < min(len(got), len(want)) && got[i] == want[i] {
				i++
			}
			t.Fatalf("round %d: %d bytes instead of %d, they differ at %d: %.80q, want %.80q", round, len(got), len(want), i, got[i:], want[i:])
		}
	}
}

// A continuation, a tag and a comment may be longer than the window.
func TestMaskToBeyondTheWindow(t *testing.T) {
	long := strings.Repeat("x", 150_000)
	for _, text := range []string{
		"'a'\n" + strings.Repeat(" ", 150_000) + "'secret' b", "'a'\n--" + long + "\n'secret' b", "'a'\n--" + long + "\n1",
		"/*" + long + "*/ 'a'", "/*" + long, "\"" + long + "\" 'a'", "\"" + long, "'" + long + "' 1", "$t$" + long + "$t$ 1", long + "'a'",
		"select " + strings.Repeat("1,", 100_000), strings.Repeat("\xff", 150_000), "a" + strings.Repeat("é", 100_000),
		"$" + long[:10_000] + "$ 'x' $" + long[:10_000] + "$ 2",
	} {
		if got, want := masked(t, []byte(text)), Mask([]byte(text)); got != want {
			t.Errorf("%.20q…: %d bytes instead of %d: %.40q, want %.40q", text, len(got), len(want), got, want)
		}
	}
	// A tag that nobody writes hides the rest.
	text := "select $" + long + "$ 'x' $" + long + "$ kept"
	if got := masked(t, []byte(text)); got != "select ?" {
		t.Errorf("behind a long tag: %.40q", got)
	}
}

func TestMaskToTellsErrors(t *testing.T) {
	text := strings.Repeat("select 'a'; ", 20_000)
	broken := errors.New("broken")
	if err := MaskTo(t.Context(), iotest.TruncateWriter(io.Discard, 0), failing{broken}, 100); !errors.Is(err, broken) {
		t.Errorf("reading: %v", err)
	}
	if err := MaskTo(t.Context(), io.Discard, strings.NewReader(text), int64(len(text)+1)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a text that ends early: %v", err)
	}
	if err := MaskTo(t.Context(), failing{broken}, strings.NewReader(text), int64(len(text))); !errors.Is(err, broken) {
		t.Errorf("writing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := MaskTo(ctx, io.Discard, strings.NewReader(text), int64(len(text))); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }
func (f failing) Write([]byte) (int, error)         { return 0, f.err }

// A text that is known by its shape has not the digest of another one.
func TestShapeHasNoDigest(t *testing.T) {
	j := &Judgement{Statements: []Statement{{Text: "SELECT 1", Digest: [32]byte{1}}}}
	var m arena
	first := &template{judgement: j}
	if got := first.fill(&m, []byte("SELECT 2"), nil); got.Statements[0].Digest != [32]byte{} || got.Statements[0].Text != "SELECT 2" {
		t.Errorf("%+v", got.Statements[0])
	}
}
