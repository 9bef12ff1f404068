package journal

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

// A long text is written as it is read, byte for byte as if it had been loaded.
func TestWriteJSON(t *testing.T) {
	random := rand.NewChaCha8([32]byte{7})
	noise := make([]byte, streamedFrom)
	_, _ = random.Read(noise)
	mixed := &strings.Builder{}
	for mixed.Len() < 3*streamedFrom/2 {
		mixed.WriteString([]string{"SELECT '", "\xff", "\xe2\x82", "€", "\U0001f511", "\x1b[31m", "\u202e", "\"\\\n\t", "<&>", "\x00", "\xf0\x9f"}[random.Uint64()%11])
	}
	texts := []string{
		strings.Repeat("SELECT 1 -- nothing else\n", streamedFrom/16), strings.Repeat("ö", streamedFrom), string(noise), mixed.String(),
		strings.Repeat("\xff", streamedFrom), strings.Repeat("x", streamedFrom) + "\xe2\x82", strings.Repeat("short", 10_000),
	}
	o := Options{Path: t.TempDir(), Node: "n"}
	j := open(t, o)
	for _, text := range texts {
		record(t, j, &audit.Event{Type: audit.Statement, Decision: audit.Allowed, Text: text})
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for i, r := range readEvents(t, o.Path)[1 : 1+len(texts)] {
		if r.HasLongText() != (len(texts[i]) >= streamedFrom) {
			t.Errorf("text %d: streamed %v", i, r.HasLongText())
		}
		var streamed bytes.Buffer
		if err := r.WriteJSON(&streamed); err != nil {
			t.Fatal(err)
		}
		if err := r.LoadText(0); err != nil {
			t.Fatal(err)
		}
		whole, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(streamed.Bytes(), append(whole, '\n')) && r.TextLength() >= streamedFrom {
			at := 0
			for at < len(whole) && at < streamed.Len() && streamed.Bytes()[at] == whole[at] {
				at++
			}
			t.Errorf("text %d differs at byte %d of %d", i, at, len(whole))
		}
	}
}
