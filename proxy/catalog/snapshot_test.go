package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// drawing is a catalog in words: "v view a f()" is a view of a and a function,
// "p parent c" a partition, "t rule log" a rule that writes.
func drawing(t *testing.T, lines ...string) *Snapshot {
	t.Helper()
	b := NewBuilder(1 << 20)
	must(t, b.Schema(1, "s"), b.Schema(2, "pg_catalog"), b.Schema(3, "hidden"))
	oids := map[string]uint32{}
	oid := func(name string) (uint32, bool) {
		fn, isRoutine := strings.CutSuffix(name, "()")
		if oids[name] == 0 {
			oids[name] = uint32(100 + len(oids))
			schema, rel, found := strings.Cut(fn, ".")
			ns := uint32(1)
			if !found {
				rel = fn
			} else if schema == "hidden" {
				ns = 3
			}
			if isRoutine {
				must(t, b.Routine(oids[name], ns, rel, Traits{Kind: 'f', Volatility: 'v', Definer: true, Languages: []string{"sql"}}))
			} else {
				must(t, b.Relation(oids[name], ns, rel, 'r'))
			}
		}
		return oids[name], isRoutine
	}
	for _, line := range lines {
		words := strings.Fields(line)
		of, _ := oid(words[0])
		for _, w := range words[min(2, len(words)):] {
			to, isRoutine := oid(w)
			switch words[1] {
			case "view":
				must(t, b.Rewritten(of, '1', to, isRoutine))
			case "rule":
				must(t, b.Rewritten(of, '3', to, isRoutine))
			case "parent":
				must(t, b.Inherits(to, of))
			}
		}
	}
	must(t, b.Usage("r", "s"), b.Usage("r", "pg_catalog"))
	must(t, b.Setting("r", `"$user", s`))
	s, err := b.Build()
	must(t, err)
	return s
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func behind(s *Snapshot, rel string, use statement.Use) string {
	h := s.Find(&statement.Object{Schema: "s", Name: rel, Kind: "relation", Use: use}, nil)
	var out []string
	for i := range s.Behind(h) {
		if r, counts := s.Step(h, i, use); counts {
			out = append(out, fmt.Sprintf("%s:%s:%s", r.Name, r.Through, r.Use))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestWhatStandsBehind(t *testing.T) {
	s := drawing(t, "v view a f()", "vv view v b", "p parent c1 c2", "c1 parent d", "pv view p", "cv view c2 deep", "deep view p",
		"w rule log lv", "lv view secret", "loop view pool", "pool view loop", "a")
	for _, tt := range []struct {
		rel  string
		use  statement.Use
		want string
	}{
		{"v", statement.UseRead, "a:view:read f:view:executed"},
		{"vv", statement.UseRead, "a:view:read b:view:read f:view:executed v:view:read"},
		{"v", statement.UseWrite, "a:view:written f:view:executed"},
		{"v", statement.UseDrop, ""},
		{"a", statement.UseRead, ""},
		{"p", statement.UseRead, "c1:partition:read c2:partition:read d:partition:read"},
		{"p", statement.UseDrop, "c1:partition:dropped c2:partition:dropped d:partition:dropped"},
		{"d", statement.UseRead, "c1:parent:read p:parent:read"},
		{"c1", statement.UseAlter, "d:partition:altered p:parent:altered"},
		{"pv", statement.UseRead, "c1:partition:read c2:partition:read d:partition:read p:view:read"},
		{"cv", statement.UseRead, "c1:partition:read c2:view:read d:partition:read deep:view:read p:parent:read"},
		{"w", statement.UseRead, ""},
		{"w", statement.UseWrite, "log:rule:written lv:rule:written secret:view:written"},
		{"loop", statement.UseRead, "pool:view:read"},
	} {
		if got := behind(s, tt.rel, tt.use); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.rel, tt.use, got, tt.want)
		}
	}
}

func TestNamesWithoutASchema(t *testing.T) {
	s := drawing(t, "t", "hidden.t", "hidden.u view t", "v view t")
	path, known := s.Path("r")
	if !known || path != `"$user", s` {
		t.Fatalf("the path is %q, %v", path, known)
	}
	for _, tt := range []struct{ role, path, schemas string }{
		{"r", `"$user", s`, "pg_catalog s"},
		{"r", `hidden, s`, "pg_catalog s"}, // the role may not use it
		{"r", `nowhere, S , "s"`, "pg_catalog s"},
		{"r", `s, pg_catalog`, "s pg_catalog"},
		{"r", ``, "pg_catalog"},
		{"r", `"s`, "?"},
		{"r", `s,`, "?"},
		{"r", `s s`, "?"},
		{"r", `Ä`, "?"},
		{"r", `"a""b", s`, "pg_catalog s"},
		{"other", `s`, "?"},
		{"r", `s, PG_TEMP`, "?"},
		{"r", strings.Repeat("s,", 64) + "s", "?"},
	} {
		got := "?"
		if sc, ok := s.Scope(tt.role, tt.path); ok {
			got = strings.Join(sc.schemas, " ")
		}
		if got != tt.schemas {
			t.Errorf("%s, %s: %s, want %s", tt.role, tt.path, got, tt.schemas)
		}
	}
	if got := len(s.Like("u")) + len(s.Like("v")); got != 2 || len(s.Like("t")) != 0 {
		t.Errorf("%d relations have something behind them", got)
	}
}

// A catalog that somebody blows up is refused before it takes more than its bound:
// views over views over views have pairs without end.
func TestBound(t *testing.T) {
	const most = 4 << 20
	b := NewBuilder(most)
	must(t, b.Schema(1, "s"))
	var err error
	for i := uint32(0); i < 5000 && err == nil; i++ {
		if err = b.Relation(i+1, 1, fmt.Sprintf("v%d", i), 'v'); err == nil && i > 0 {
			err = b.Rewritten(i+1, '1', i, false)
		}
	}
	must(t, err)
	if _, err := b.Build(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("the catalog was made: %v", err)
	}
	if links := len(b.s.links); links*linkSize > most {
		t.Errorf("%d links were made", links)
	}
}

func TestOverloadsCountByTheGravest(t *testing.T) {
	b := NewBuilder(1 << 20)
	must(t, b.Schema(1, "s"),
		b.Routine(1, 1, "f", Traits{Kind: 'f', Volatility: 'i', Languages: []string{"sql"}}),
		b.Routine(2, 1, "f", Traits{Kind: 'f', Volatility: 's', Definer: true, Languages: []string{"plpgsql"}}),
		b.Routine(3, 1, "f", Traits{Kind: 'f', Volatility: 'i', Languages: []string{"sql"}}))
	s, err := b.Build()
	must(t, err)
	h := s.Find(&statement.Object{Schema: "s", Name: "f", Kind: "function", Use: statement.UseExecute}, nil)
	if got := s.Self(h, statement.UseExecute); !h.Found || got.Facts != "stable, security definer, plpgsql, sql" {
		t.Errorf("it is %+v", got)
	}
}

func FuzzSplitPath(f *testing.F) {
	for _, s := range []string{`"$user", public`, `a,b`, `"a""b" , c`, `"`, `,`, " \t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		names, ok := splitPath(s)
		if !ok {
			return
		}
		quoted := make([]string, len(names))
		for i, n := range names {
			quoted[i] = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
		}
		again, ok := splitPath(strings.Join(quoted, ", "))
		if !ok || !slices.Equal(again, names) {
			t.Errorf("%q is %q, and written again %q", s, names, again)
		}
	})
}
