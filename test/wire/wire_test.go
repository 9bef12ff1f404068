// Package wire plays scripts of the frontend/backend protocol against PostgreSQL
// directly and through the proxy, and demands the same answers, byte for byte.
// What PostgreSQL says is the oracle: there are no expectations to keep.
package wire

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// modePair is how a script is played through the proxy, against which direct mode.
type modePair struct {
	direct  mode
	proxied []mode
}

// asWritten plays a script as it stands, and in one write.
var asWritten = []modePair{
	{mode{name: "direct"}, []mode{{name: "proxied", proxied: true}}},
	{mode{name: "direct whole", whole: true}, []mode{{name: "whole", proxied: true, whole: true}}},
}

// inPieces adds small pieces, of the client's bytes and of the backend's.
func inPieces(s *script) []modePair {
	first := asWritten[0]
	first.proxied = slices.Concat(first.proxied, clientModes(s, 2), backendModes(s, 0))
	return []modePair{first, asWritten[1]}
}

// largest is how many bytes a script may send to be split in small pieces: each
// is a TLS record of its own.
const largest = 4 << 10

func TestScripts(t *testing.T) { playScripts(t, testkit.SharedSite(t), inPieces) }

// otherwise plays a script by the other driver: as it stands, in one write, and with the
// backend's bytes in pieces; of several in a file each in the last way alone.
func otherwise(s *script) []modePair {
	pieces := modePair{mode{name: "direct"}, backendModes(s, 1)}
	for i := range pieces.proxied {
		pieces.proxied[i].name = "other " + pieces.proxied[i].name // the journal has those of both drivers
	}
	if s.oneOfSeveral && !*everySplit {
		return []modePair{pieces}
	}
	pieces.proxied = append(pieces.proxied, mode{name: "otherwise", proxied: true})
	return []modePair{pieces, {mode{name: "direct whole", whole: true}, []mode{{name: "otherwise whole", proxied: true, whole: true}}}}
}

// TestScriptsByTheOtherDriver plays them by the driver that the site does not have.
func TestScriptsByTheOtherDriver(t *testing.T) {
	site := testkit.SharedSite(t)
	switchDriver(t, site)
	t.Cleanup(func() { switchDriver(t, site) })
	playScripts(t, site, otherwise)
}

// switchDriver starts the proxy again with the other driver.
func switchDriver(t *testing.T, site *testkit.Site) {
	t.Helper()
	if err := site.StopProxy(); err != nil {
		t.Fatal(err)
	}
	other := map[string]string{"epoll": "goroutine", "goroutine": "epoll"}
	if err := site.WriteConfig(func(c *testkit.SiteConfig) { c.Driver = other[c.Driver] }); err != nil {
		t.Fatal(err)
	}
	if err := site.StartProxy(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func playScripts(t *testing.T, site *testkit.Site, ways func(*script) []modePair) {
	t.Helper()
	throughShim(t, site)
	prepare(t, site)
	scripts := readScripts(t, "")
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(site.LogTail())
		}
	})
	plays := newPlayed()
	t.Run("play", func(t *testing.T) {
		for _, s := range scripts {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				playAll(t, site, s, plays, ways(s))
			})
		}
	})
	checkJournal(t, site, plays)
}

func playAll(t *testing.T, site *testkit.Site, s *script, plays *played, pairs []modePair) {
	t.Helper()
	other := second(t, site, "wire second "+s.name)
	for _, sql := range s.header.setup {
		if _, err := other.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatalf("setup: %s: %v", sql, err)
		}
	}
	for _, pair := range pairs {
		if pair.direct.whole && s.header.timed {
			continue
		}
		want := start(t, site, s, pair.direct, other)
		for _, m := range pair.proxied {
			if m.piece > 0 && s.size() > largest {
				continue
			}
			got := start(t, site, s, m, other)
			compare(t, s, m, want, got)
			plays.add(applicationName(s, m), got)
		}
	}
}

func (s *script) size() (n int) {
	for i := range s.steps {
		n += len(s.steps[i].data)
	}
	return n
}

// compare demands that both transcripts agree.
func compare(t *testing.T, s *script, m mode, want, got *transcript) {
	t.Helper()
	a, b := show(s, want), show(s, got)
	if d, ok := designed[s.name]; ok {
		if slices.Equal(a, b) {
			t.Errorf("%s is like direct now, the table of differences says that it is not", m.name)
		}
		a = d.proxied
		for i := range b {
			b[i], _, _ = strings.Cut(b[i], "\x00")
		}
	}
	if !slices.Equal(a, b) {
		t.Errorf("%s differs from direct:\n%s", m.name, diff(a, b))
	}
	if s.header.greeting {
		delete(want.greeting, "application_name")
		delete(got.greeting, "application_name")
		if !maps.Equal(want.greeting, got.greeting) {
			t.Errorf("%s: log-in reports %v, directly %v", m.name, got.greeting, want.greeting)
		}
	}
}

// show is what of a transcript is compared. Of a script about denial that is the
// shape: the types of messages, the transaction's status, the SQLSTATE.
func show(s *script, t *transcript) []string {
	out := make([]string, 0, len(t.frames)+1)
	for _, f := range t.frames {
		if s.header.role != "" {
			out = append(out, f.shape(len(s.header.standIn) == 0))
			continue
		}
		f = f.masked(s.header.mask)
		out = append(out, f.String()+"\x00"+string(f.body))
	}
	if len(t.tail) > 0 {
		out = append(out, "cut off: "+short(t.tail))
	}
	return out
}

// diff lists both, with a mark where they part.
func diff(want, got []string) string {
	var s strings.Builder
	same := 0
	for same < min(len(want), len(got)) && want[same] == got[same] {
		same++
	}
	write := func(mark string, lines []string) {
		for i, line := range lines {
			line, _, _ = strings.Cut(line, "\x00")
			if i > 40 {
				s.WriteString(mark + "...\n")
				break
			}
			s.WriteString(mark + line + "\n")
		}
	}
	write("  ", want[max(0, same-10):same])
	write("- ", want[same:])
	write("+ ", got[same:])
	return s.String()
}

// prepare makes what scripts read.
func prepare(t *testing.T, site *testkit.Site) {
	t.Helper()
	for _, sql := range []string{
		"DROP TABLE IF EXISTS numbers, notes",
		"CREATE TABLE numbers (n int PRIMARY KEY, name text)",
		"INSERT INTO numbers SELECT g, 'number ' || g FROM generate_series(1, 100) g",
	} {
		if _, err := second(t, site, "wire prepare").Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}
