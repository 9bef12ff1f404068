package wire

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestCopyInCombinations plays COPYs whose data are every sequence of good and
// bad lines, Syncs and Flushes, to both ends, each with a statement behind it.
func TestCopyInCombinations(t *testing.T) {
	site := testkit.SharedSite(t)
	plays := newPlayed()
	t.Run("play", func(t *testing.T) {
		for i, protocol := range []string{"simple", "extended"} {
			t.Run(protocol, func(t *testing.T) {
				t.Parallel()
				var text strings.Builder
				fmt.Fprintf(&text, `setup "DROP TABLE IF EXISTS w_comb%[1]d; CREATE TABLE w_comb%[1]d (a int)"`+"\n", i)
				for n, data := range sequences([]string{`CopyData "1\n"`, `CopyData "bad\n"`, "Sync", "Flush"}, 3) {
					for _, end := range []string{"CopyDone", `CopyFail "enough"`} {
						text.WriteString(copyIn(protocol, fmt.Sprintf("COPY w_comb%d FROM STDIN", i), append(data, end), n))
					}
				}
				playText(t, site, plays, "combinations-"+protocol, text.String(), asWritten)
			})
		}
	})
	checkJournal(t, site, plays)
}

// copyIn writes a COPY with a statement behind it that is waited for.
func copyIn(protocol, sql string, data []string, n int) string {
	marker := fmt.Sprintf("SELECT %d", n)
	if protocol == "simple" {
		return fmt.Sprintf("Query %q\n%s\nQuery %q\nUntil RowDescription\nUntil ReadyForQuery\n", sql, strings.Join(data, "\n"), marker)
	}
	return fmt.Sprintf("Parse name= %q\nBind\nExecute \"\" 0\n%s\nSync\nParse name= %q\nBind\nDescribe P \"\"\nExecute \"\" 0\nSync\n"+
		"Until RowDescription\nUntil ReadyForQuery\n", sql, strings.Join(data, "\n"), marker)
}

// sequences returns all that can be made of the words, up to a length.
func sequences(words []string, most int) [][]string {
	all := [][]string{nil}
	for from := 0; most > 0; most-- {
		to := len(all)
		for _, s := range all[from:to] {
			for _, w := range words {
				all = append(all, append(s[:len(s):len(s)], w))
			}
		}
		from = to
	}
	return all
}

func playText(t *testing.T, site *testkit.Site, plays *played, name, text string, pairs []modePair) {
	t.Helper()
	s, err := parseScript(name, text)
	if err != nil {
		t.Fatal(err)
	}
	playAll(t, site, s, plays, pairs)
}

// TestRandomPipelines plays what no client would send: random messages, in one
// write and one by one.
func TestRandomPipelines(t *testing.T) {
	const scripts = 80
	site := testkit.SharedSite(t)
	prepare(t, site)
	plays := newPlayed()
	t.Run("play", func(t *testing.T) {
		for seed := range uint64(scripts) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				playText(t, site, plays, fmt.Sprintf("random-%d", seed), randomScript(seed), asWritten)
			})
		}
	})
	checkJournal(t, site, plays)
}

// randomMessages are what random scripts are made of; the first ones end what is
// open. %d is the script's number.
var randomMessages = []string{
	"Sync",
	`Query "ROLLBACK"`,
	`Query "COMMIT"`,
	`Query "SELECT 1"`,
	`Query "SELECT 1; SELECT n FROM numbers WHERE n < 3; SELECT 2"`,
	`Query "INSERT INTO w_rand%d VALUES (1)"`,
	`Query "INSERT INTO w_rand%d VALUES (1); SELECT 1/0; SELECT 2"`,
	`Query "SELEKT"`,
	`Query ""`,
	`Query "BEGIN"`,
	`Query "BEGIN; SELECT 1; COMMIT; SELECT 2"`,
	`Query "SAVEPOINT a"`,
	`Query "ROLLBACK TO a"`,
	`Query "DECLARE p CURSOR FOR SELECT n FROM numbers"`,
	`Query "FETCH 2 FROM p"`,
	`Query "PREPARE s AS SELECT 7"`,
	`Query "EXECUTE s"`,
	`Query "DEALLOCATE ALL"`,
	`Query "CLOSE ALL"`,
	`Query "DISCARD ALL"`,
	`Query "SET DateStyle = 'SQL'"`,
	`Query "COPY (SELECT 1) TO STDOUT"`,
	"Query \"COPY w_rand%d FROM STDIN\"\nCopyData \"1\\n\"\nCopyDone",
	"Query \"COPY w_rand%d FROM STDIN\"\nCopyData \"x\\n\"\nCopyDone",
	"Query \"COPY w_rand%d FROM STDIN; SELECT 2\"\nSync\nCopyData \"1\\n\"\nCopyFail \"no\"",
	"Parse name=c \"COPY w_rand%d FROM STDIN\"\nBind portal=c statement=c\nExecute \"c\" 0\nCopyData \"1\\n\"\nCopyDone\nClose S \"c\"\nSync",
	`Parse name= "SELECT n FROM numbers WHERE n < 6"`,
	`Parse name=s "SELECT n FROM numbers WHERE n < 6"`,
	`Parse name= "INSERT INTO w_rand%d VALUES (2)"`,
	`Parse name=s "INSERT INTO w_rand%d VALUES (2) RETURNING a"`,
	`Parse name= "SELECT 1/(n-3) FROM numbers"`,
	`Parse name=s "SELEKT"`,
	`Parse name= "BEGIN"`,
	`Parse name= "COMMIT"`,
	`Parse name= "DECLARE p CURSOR WITH HOLD FOR SELECT n FROM numbers"`,
	`Parse name= "EXECUTE s"`,
	`Parse name= "FETCH 3 FROM p"`,
	`Parse name= ""`,
	"Bind",
	"Bind",
	"Bind statement=s",
	"Bind portal=p",
	"Bind portal=p statement=s",
	`Bind statement=s params="1"`,
	`Describe S "s"`,
	`Describe P ""`,
	`Execute "" 0`,
	`Execute "" 2`,
	`Execute "" 2`,
	`Execute "p" 0`,
	`Execute "p" 2`,
	`Close S "s"`,
	`Close P "p"`,
	`Close P ""`,
	"Sync",
	"Sync",
	"Flush",
	`FunctionCall 177 args="1","2" formats=0`,
	`FunctionCall 177 args="x","2" formats=0`,
	`Message Q "no end"`,
	`Message P "x"`,
	`Message B "x"`,
	`CopyData "nobody asked"`,
	"CopyDone",
}

func randomScript(seed uint64) string {
	const length = 60
	r := rand.New(rand.NewPCG(seed, 1)) // the same script each time
	var s strings.Builder
	fmt.Fprintf(&s, `setup "DROP TABLE IF EXISTS w_rand%[1]d; CREATE TABLE w_rand%[1]d (a int)"`+"\n", seed)
	fmt.Fprintf(&s, `reset "TRUNCATE w_rand%d"`+"\n", seed)
	for range length {
		s.WriteString(strings.ReplaceAll(randomMessages[r.IntN(len(randomMessages))], "%d", fmt.Sprint(seed)) + "\n")
		if r.IntN(4) == 0 {
			s.WriteString("Send\n")
		}
	}
	// Whatever state that left, this is answered.
	s.WriteString("Sync\nQuery \"ROLLBACK\"\nUntil ReadyForQuery\n")
	return s.String()
}
