package statement

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMask(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"SELECT 1":                              "SELECT ?",
		"SELECT 'a''b', \"c'd\", $1, x1":        "SELECT ?, \"c'd\", $1, x1",
		"SELECT 'a'\n  -- b\n 'c', 'd' 'e'":     "SELECT ?, ? ?",
		`SELECT E'a\'b', e'\\', 'x'`:            "SELECT ?, ?, ?",
		"SELECT E'a'\n'\\'b', c":                "SELECT ?, c",
		"SELECT U&'\\0041', N'a', B'1', x'f'":   "SELECT ?, N?, ?, ?",
		"SELECT $$a$$, $x$b$y$c$x$, $1$a$":      "SELECT ?, ?, $1?",
		"SELECT 1.5e-3, .5, 0xff, 1_000, 1..2":  "SELECT ?, ?, ?, ?, ?..?",
		"SELECT a$b$c, d":                       "SELECT a$b$c, d",
		"SELECT 'a', -- it's\r'b'":              "SELECT ?, -- it's\r?",
		"SELECT 'a' -- it's\r'b'":               "SELECT ?",
		"SELECT /* ' /* ' */ ' */ 'a'":          "SELECT /* ' /* ' */ ' */ ?",
		"SELECT 'open":                          "SELECT ?",
		"SELECT $a$open$b$":                     "SELECT ?",
		"SELECT \"open":                         "SELECT ?",
		"SELECT /* open 'a'":                    "SELECT ?",
		`SELECT 'a\' OR b = 'c'`:                "SELECT ?",
		`SELECT 'a\\', b`:                       "SELECT ?",
		`SELECT 'a\d', b`:                       "SELECT ?, b",
		"ALTER ROLE a PASSWORD b, c":            "ALTER ROLE a PASSWORD ?, c",
		"SELECT a<--'b'\nc":                     "SELECT a<--'b'\nc",
		"ALTER ROLE a PASSWORD 'o'brien-s' x":   "ALTER ROLE a PASSWORD ?",
		"ALTER ROLE a PASSWORD 'a'b-c'd' LOGIN": "ALTER ROLE a PASSWORD ? LOGIN",
		"ALTER ROLE a PASSWORD = b!c LOGIN":     "ALTER ROLE a PASSWORD = ? LOGIN",
		"ALTER ROLE a PASSWORD: b":              "ALTER ROLE a PASSWORD: ?",
		"ALTER ROLE a PASSWORD !b#c LOGIN":      "ALTER ROLE a PASSWORD ? LOGIN",
		"ALTER ROLE a PASSWORD 1b;":             "ALTER ROLE a PASSWORD ?;",
		"SELECT 'a'::text||b, 'c'||d, ('e')f":   "SELECT ?::text||b, ?||d, (?)f",
		"SELECT 1 /* password=b */ -- c":        "SELECT ? /*?*/ -- c",
		"SELECT password, b FROM c":             "SELECT password, b FROM c",
		"\xff'a'\xff":                           "\uFFFD?",
	} {
		if got := Mask([]byte(text)); got != want {
			t.Errorf("%q\n\t%q, want %q", text, got, want)
		}
	}
}

func TestSensitive(t *testing.T) {
	for text, want := range map[string]bool{
		"SELECT 'a'": false, `SELECT 'a\b'`: true, `SELECT E'a\b'`: false, `SELECT "a\b"`: false, `SELECT $$a\b$$`: false,
		`DO $$BEGIN PERFORM 'a\b'; END$$`: true, `DO $a$BEGIN EXECUTE $b$SELECT '\'$b$; END$a$`: true, "SELECT é\\": true,
		`SELECT 1 \ 2`: false, `-- 'a\b'`: false, `SELECT U&'\0041'`: true,
	} {
		if got := Sensitive([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// secret stands for what a literal holds: no letter of it occurs elsewhere.
const secret = "ZQXJ"

func FuzzMask(f *testing.F) {
	for _, s := range []string{"SELECT ", "a = E'\\'' AND b=", "$x$ $y$ $x$", "U&\"a\" /* ' */", "-- '\n", "'a\\'", "é'", "password "} {
		f.Add([]byte(s), []byte(", c"))
	}
	f.Fuzz(func(t *testing.T, before, after []byte) {
		masked := Mask(before)
		if !utf8.ValidString(masked) {
			t.Fatalf("%q is not UTF-8", masked)
		}
		if again := Mask([]byte(masked)); again != masked {
			t.Fatalf("%q: masked again %q", masked, again)
		}
		// Behind white space a literal is a literal, unless the text before it is
		// still inside something, which a mask up to the end shows.
		whole := Mask(append(append([]byte(string(before)+"\n"), "'"+secret+"'"...), after...))
		if strings.Contains(whole, secret) && !strings.Contains(string(before)+string(after), secret) && closed(before) {
			t.Fatalf("%q keeps the literal", whole)
		}
	})
}

// closed tells if a text leaves nothing open that a literal behind it would
// then be a part of.
func closed(text []byte) bool {
	const probe = "\nprobe"
	masked := Mask(append([]byte(string(text)), probe...))
	return strings.HasSuffix(masked, probe) && !strings.Contains(string(text), "/*")
}
