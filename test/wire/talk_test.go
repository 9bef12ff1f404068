package wire

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

var (
	talks    = flag.Uint64("wire.talks", 40, "how many random talks are played")
	talkFrom = flag.Uint64("wire.from", 0, "the first of them")
)

// TestRandomTalks plays random messages that fit together more often than not: names are
// few, and what is prepared with parameters is bound with as many, mostly.
func TestRandomTalks(t *testing.T) {
	site := testkit.SharedSite(t)
	prepare(t, site)
	plays := newPlayed()
	t.Run("play", func(t *testing.T) {
		for seed := *talkFrom; seed < *talkFrom+*talks; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				playText(t, site, plays, fmt.Sprintf("talk-%d", seed), randomTalk(seed), asWritten)
			})
		}
	})
	checkJournal(t, site, plays)
}

// talk writes a script.
type talk struct {
	*rand.Rand
	table string
	text  strings.Builder
}

func randomTalk(seed uint64) string {
	const moves = 50
	k := &talk{Rand: rand.New(rand.NewPCG(seed, 2)), table: fmt.Sprintf("w_talk%d", seed)}
	k.say("mask table-oid")
	k.say(`setup "DROP TABLE IF EXISTS %s CASCADE; CREATE TABLE %[1]s (a int UNIQUE DEFERRABLE INITIALLY DEFERRED, b text)"`, k.table)
	k.say(`reset "TRUNCATE %s"`, k.table)
	for range moves {
		k.move()
	}
	// Whatever state that left, this is answered.
	k.say("Sync\nQuery \"ROLLBACK\"\nUntil ReadyForQuery")
	return k.text.String()
}

func (k *talk) say(format string, values ...any) { fmt.Fprintf(&k.text, format+"\n", values...) }

func pick[T any](k *talk, of ...T) T { return of[k.IntN(len(of))] }

func (k *talk) statement() string { return pick(k, "", "", "s", "s", "t") }
func (k *talk) portal() string    { return pick(k, "", "", "p", "p", "q") }

// move is one thing that a client does.
func (k *talk) move() {
	switch k.IntN(16) {
	case 0, 1, 2:
		k.whole()
	case 3, 4:
		k.query()
	case 5:
		k.say("Parse name=%s %q", k.statement(), k.sql())
	case 6:
		k.bind(k.portal(), k.statement(), k.IntN(3))
	case 7, 8:
		k.say("Execute %q %d", k.portal(), k.limit())
	case 9:
		k.say("Describe %s", pick(k, `S ""`, `S "s"`, `S "t"`, `P ""`, `P "p"`, `P "q"`))
	case 10:
		k.say("Close %s", pick(k, `S ""`, `S "s"`, `S "t"`, `P ""`, `P "p"`, `P "q"`))
	case 11, 12:
		k.say("Sync")
	case 13:
		k.say("%s", pick(k, "Flush", "Send", "Send"))
	case 14:
		k.copyIn()
	default:
		k.odd()
	}
}

func (k *talk) limit() int { return pick(k, 0, 0, 0, 1, 2, 3) }

// whole prepares, binds and runs, in several portals perhaps.
func (k *talk) whole() {
	s, p := k.statement(), k.portal()
	sql := k.sql()
	k.say("Parse name=%s %q", s, sql)
	if k.IntN(3) == 0 {
		k.say("Describe S %q", s)
	}
	for range 1 + k.IntN(2) {
		k.bind(p, s, strings.Count(sql, "$1"))
		if k.IntN(3) == 0 {
			k.say("Describe P %q", p)
		}
		for range 1 + k.IntN(3) {
			k.say("Execute %q %d", p, k.limit())
		}
	}
	if k.IntN(2) == 0 {
		k.say("Sync")
	}
}

func (k *talk) bind(portal, statement string, parameters int) {
	line := fmt.Sprintf("Bind portal=%s statement=%s", portal, statement)
	if parameters > 0 {
		line += " params=" + strings.Join([]string{`"1"`, `"2"`}[:min(parameters, 2)], ",")
	}
	k.say("%s%s", line, pick(k, "", "", "", " results=1", " results=0,1"))
}

// query is one Query of one statement, or of some.
func (k *talk) query() {
	parts := []string{k.sql()}
	for k.IntN(3) == 0 {
		parts = append(parts, pick(k, k.sql(), k.sql(), "COPY "+k.table+" FROM STDIN"))
	}
	text := strings.ReplaceAll(strings.Join(parts, "; "), "$1", "1")
	k.say("Query %q", text)
	for range strings.Count(text, "FROM STDIN") {
		k.data()
	}
}

// copyIn is one by Execute.
func (k *talk) copyIn() {
	k.say("Parse name=c \"COPY %s FROM STDIN\"", k.table)
	k.say("Bind portal=c statement=c")
	k.say(`Execute "c" %d`, k.limit())
	k.data()
	k.say("Close S \"c\"\nSync")
}

func (k *talk) data() {
	for range k.IntN(3) {
		k.say("%s", pick(k, `CopyData "1\tx\n"`, `CopyData "2\ty\n3\tz\n"`, `CopyData "4\t"`, `CopyData "bad\n"`, "Flush", "Send"))
	}
	k.say("%s", pick(k, "CopyDone", "CopyDone", "CopyDone", `CopyFail "enough"`))
}

// odd is what few clients do.
func (k *talk) odd() {
	k.say("%s", pick(
		k,
		`FunctionCall 177 args="1","2" formats=0`,
		`FunctionCall 154 args="1","0" formats=0`,
		`Message B "x"`, `Message P "s\x00SELECT 1"`, `Message Q "no end"`, `Message E "p\x00"`, `Message D "Xp\x00"`,
		`CopyData "nobody asked"`, "CopyDone", `CopyFail "nothing"`,
		"Bind portal=p statement=nobody", `Execute "nobody" 0`,
	))
}

func (k *talk) sql() string {
	return strings.ReplaceAll(pick(k, talkedOf...), "%t", k.table)
}

var talkedOf = []string{
	"SELECT 1", "SELECT n FROM numbers WHERE n < 6 ORDER BY n", "SELECT n FROM numbers WHERE n < 6 ORDER BY n",
	"SELECT FROM numbers WHERE n < 4", "SELECT n, name FROM numbers WHERE n < 4 + $1::int ORDER BY n",
	"SELECT 10 / (4 - n) FROM numbers ORDER BY n", "SELECT 1/0", "SELEKT", "",
	"INSERT INTO %t VALUES (1, 'x')", "INSERT INTO %t VALUES (2, 'y'), (3, 'z') RETURNING a, b", "INSERT INTO %t VALUES ($1, 'p')",
	"UPDATE %t SET b = 'u' WHERE a = $1::int RETURNING a", "DELETE FROM %t WHERE a < 9", "TRUNCATE %t",
	"WITH d AS (DELETE FROM %t RETURNING a) SELECT count(*) FROM d",
	"BEGIN", "BEGIN", "COMMIT", "COMMIT", "ROLLBACK", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE a",
	"COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "BEGIN ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION READ ONLY", "SET CONSTRAINTS ALL IMMEDIATE",
	"SET DateStyle = 'SQL, DMY'", "SET LOCAL IntervalStyle = 'iso_8601'", "RESET ALL", "SHOW DateStyle",
	"SELECT set_config('TimeZone', 'Asia/Tokyo', true)",
	"DECLARE p CURSOR FOR SELECT n FROM numbers WHERE n < 8 ORDER BY n", "DECLARE q SCROLL CURSOR WITH HOLD FOR SELECT n FROM numbers WHERE n < 8 ORDER BY n",
	"FETCH 2 FROM p", "FETCH ALL FROM q", "MOVE 1 IN q", "CLOSE p", "CLOSE ALL",
	"PREPARE s AS SELECT 7", "PREPARE t AS SELECT n FROM numbers WHERE n < 4", "EXECUTE s", "EXECUTE t", "DEALLOCATE s", "DEALLOCATE ALL", "DISCARD ALL",
	"COPY %t TO STDOUT", "COPY (SELECT 1 / (3 - n) FROM numbers ORDER BY n) TO STDOUT",
	"LISTEN %t", "NOTIFY %t, 'heard'", "UNLISTEN *",
	"EXPLAIN (COSTS off) SELECT 1", "VACUUM %t", "LOCK TABLE %t",
	"CREATE TEMP TABLE IF NOT EXISTS w_mine (a int)", "DROP TABLE IF EXISTS w_mine", "SELECT * FROM w_mine",
}
