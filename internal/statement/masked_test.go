//go:build linux

package statement_test

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

func cached(r *statement.Reader, text string) *statement.Judgement {
	j, _ := r.Cached([]byte(text), statement.UTF8)
	return j
}

// A text is found by its shape, with its own texts; one in which a literal
// decides is not.
func TestMasked(t *testing.T) {
	r, _ := open(t, statement.Options{}, asWorker)
	for _, c := range []struct {
		first, second string
		found         bool
	}{
		{"SELECT abalance FROM pgbench_accounts WHERE aid = 1;", "SELECT abalance FROM pgbench_accounts WHERE aid = 99999;", true},
		{"UPDATE a SET b = b + 5 WHERE c = 1", "UPDATE a SET b = b + 7 WHERE c = 22", true},
		{"UPDATE a SET b = b + -5 WHERE c = 1", "UPDATE a SET b = b + -7 WHERE c = 22", true},
		{"INSERT INTO h (a, b) VALUES (1, 'x')", "INSERT INTO h (a, b) VALUES (2, 'O''Hara é')", true},
		{"/* a=1 */ DELETE FROM t WHERE id = 1", "/* b */ DELETE FROM t WHERE id = 2", true},
		{"BEGIN; UPDATE t SET a = 1 WHERE id = 1; END", "BEGIN; UPDATE t SET a = 22 WHERE id = 333; END", true},
		{"EXECUTE p (1, 'a')", "EXECUTE p (2, 'b')", true},
		{"CALL f(1)", "CALL f(2)", true},
		{"SELECT 1 LIMIT 5 -- a", "SELECT 2 LIMIT 6 -- b", true},
		{"-- a", "-- b", true},
		{"; /* a */ ;", "; /* b */ ;", true},
		// A literal decides.
		{"DELETE FROM t WHERE 1 = 2", "DELETE FROM t WHERE 1 = 1", false},
		{"DELETE FROM t WHERE id = 1 OR 1 = 2", "DELETE FROM t WHERE id = 1 OR 1 = 1", false},
		{"DELETE FROM t WHERE name LIKE 'a%'", "DELETE FROM t WHERE name LIKE '%'", false},
		{"DELETE FROM t WHERE id = 5 OR id <> 6", "DELETE FROM t WHERE id = 5 OR id <> 5", false},
		{"DELETE FROM t WHERE at > '2020-01-01'", "DELETE FROM t WHERE at > '-infinity'", false},
		{"DELETE FROM t WHERE id + 5 = id", "DELETE FROM t WHERE id + 0 = id", false},
		{"SELECT set_config(name, 'x', true) FROM pg_settings WHERE name = 'work_mem'", "SELECT set_config(name, 'x', true) FROM pg_settings WHERE name = 'role'", false},
		{"SELECT set_config('work_mem', 'x', true)", "SELECT set_config('role', 'x', true)", false},
		{"SELECT nextval('a')", "SELECT nextval('b')", false},
		{"SELECT query_to_xml('SELECT 1', true, true, '')", "SELECT query_to_xml('DROP TABLE t', true, true, '')", false},
		{"SET ROLE 'a'", "SET ROLE 'b'", false},
		{"SET session_replication_role = 'origin'", "SET session_replication_role = 'replica'", false},
		{"COPY t FROM 'a'", "COPY t FROM 'b'", false},
		{"DO 'BEGIN NULL; END'", "DO 'BEGIN DELETE FROM t; END'", false},
		{"PREPARE p AS SELECT 1", "PREPARE p AS SELECT 2", false},
		{"CREATE TABLE t (a int DEFAULT 1)", "CREATE TABLE t (a int DEFAULT 2)", false},
		{"SELECT 1::float(5)", "SELECT 1::float(99)", false}, // the grammar refuses the second
		// Another shape.
		{"SELECT 1", "SELECT 'a'", false},
		{"SELECT 1", "SELECT 1.5", false},
		{"SELECT 'a'", "SELECT E'a'", false},
		{"SELECT 'a'", "SELECT 'dbname=x password=y'", false},
		{"SELECT a1", "SELECT a2", false},
	} {
		judge(t, r, c.first)
		got := cached(r, c.second)
		if (got != nil) != c.found {
			t.Errorf("%s | %s: found %v", c.first, c.second, got != nil)
			continue
		}
		parsed := judge(t, r, c.second)
		if got != nil && !reflect.DeepEqual(got, parsed) {
			t.Errorf("%s\n\tby shape %+v\n\tparsed   %+v", c.second, got, parsed)
		}
	}
	if s := r.Stats(); s.Masked == 0 || s.Masked > s.Hits {
		t.Errorf("%+v", s)
	}
	if _, ok := r.Cached([]byte("INSERT INTO h (a, b) VALUES (2, 'Ä')"), statement.Other); ok {
		t.Error("a literal outside ASCII is trusted in another encoding")
	}
}

// What was found by its shape stays as it is, whatever is found after it.
func TestMaskedInParallel(t *testing.T) {
	r, _ := open(t, statement.Options{}, asWorker)
	judge(t, r, "SELECT 0 FROM t; SELECT 'x'")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			kept := map[string]*statement.Judgement{}
			for i := range 500 {
				text := fmt.Sprintf("SELECT %d FROM t; SELECT '%s'", g*1000+i, strings.Repeat("y", i%50))
				if kept[text] = cached(r, text); kept[text] == nil {
					t.Errorf("%s is not found", text)
					return
				}
			}
			for text, j := range kept {
				if got := j.Statements[0].Text + "; " + j.Statements[1].Text; got != text {
					t.Errorf("%q is %q", text, got)
				}
			}
		})
	}
	wg.Wait()
}

func TestMaskedDoesNotAllocate(t *testing.T) {
	r, _ := open(t, statement.Options{}, asWorker)
	judge(t, r, pgbenchSelect)
	other := []byte("SELECT abalance FROM pgbench_accounts WHERE aid = 54321;")
	if n := testing.AllocsPerRun(1000, func() {
		if _, ok := r.Cached(other, statement.UTF8); !ok {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMasked(b *testing.B) {
	r, _ := open(b, statement.Options{}, asWorker)
	r.Judge(b.Context(), []byte(pgbenchSelect), statement.UTF8)
	other := []byte("SELECT abalance FROM pgbench_accounts WHERE aid = 54321;")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := r.Cached(other, statement.UTF8); !ok {
			b.Fatal("not found")
		}
	}
}
