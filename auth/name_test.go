package auth

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Names that Unicode folds to ones that others have, and a directory does not.
func TestSameName(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"alice", "ALICE", true},
		{"zoë.müller", "ZOË.MÜLLER", true},
		{"ΑΛΕΞ", "αλεξ", true},
		{"Иван", "иВАН", true},
		{"", "", true},
		{"alice", "al\u0130ce", false}, // İ, which ToLower makes an i of
		{"mike", "mi\u212ae", false},   // the sign of Kelvin
		{"judy.smith", "judy.\u017fmith", false},
		{"ångström", "\u212bngström", false}, // the sign of Ångström
		{"alice", "alic", false},
		{"alice", "alice ", false},
		{"zoë", "zoe", false},
		{"zo\u00eb", "zoe\u0308", false},
		{"\xff", "\xfe", false},
		{"\xff", "\ufffd", false},
	} {
		if got := SameName(c.a, c.b); got != c.same || SameName(c.b, c.a) != c.same || (FoldName(c.a) == FoldName(c.b)) != c.same {
			t.Errorf("%q and %q: %v, folded to %q and %q", c.a, c.b, got, FoldName(c.a), FoldName(c.b))
		}
	}
}

// FuzzSameName: names are the same exactly where they fold to one text, and what Unicode
// does not take for equal is no exception.
func FuzzSameName(f *testing.F) {
	for _, s := range []string{"alice", "Straße", "ſ", "K", "ΣΑΣ", "İ", "\xff", "ǅ"} {
		f.Add(s, strings.ToUpper(s))
		f.Add(s, strings.ToLower(s))
		f.Add(s, "S")
		f.Add(s, "k")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		same := SameName(a, b)
		if same != (FoldName(a) == FoldName(b)) || same && utf8.ValidString(a) && !strings.EqualFold(a, b) || !SameName(a, FoldName(a)) || FoldName(FoldName(a)) != FoldName(a) {
			t.Errorf("%q and %q: %v, folded to %q and %q", a, b, same, FoldName(a), FoldName(b))
		}
	})
}
