package clients

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// recordingSite is a site whose lab has parameters, and digests of COPY, on record.
func recordingSite(t *testing.T) *testkit.Site {
	t.Helper()
	return testkit.NewSite(t, func(c *testkit.SiteConfig) {
		c.ExtraRules = strings.Replace(c.ExtraRules, "    grant:\n", "    grant:\n      record: {parameters: full, copy: digest}\n", 1)
	})
}

func TestOnRecord(t *testing.T) {
	s := recordingSite(t)
	t.Run("copy", func(t *testing.T) { testCopyDigest(t, s) })
	t.Run("pgx", func(t *testing.T) { testParametersOfPgx(t, s) })
	t.Run("large", func(t *testing.T) { testLargeParameter(t, s) })
	t.Run("pgbench", func(t *testing.T) { testParametersOfPgbench(t, s) })
	t.Run("large_object", func(t *testing.T) { testLargeObject(t, s) })
	t.Run("stories", func(t *testing.T) {
		for _, story := range pgxStories {
			same(t, tell(t, s.LabDirect(), story), tell(t, s.LabProxied(), story))
		}
	})
}

// outcomeOf waits for the outcome of the statement that begins with a text.
func outcomeOf(t *testing.T, s *testkit.Site, text string) journal.Record {
	t.Helper()
	st := s.Await(t, text, func(r *journal.Record) bool { return r.Type == audit.Statement && strings.HasPrefix(r.Text, text) })
	return s.Await(t, "the outcome of "+text, func(r *journal.Record) bool {
		return r.Type == audit.Outcome && r.Stream == st.Stream && r.Statement == st.Sequence
	})
}

// The digest of a COPY is that of the file that went in or came out.
func testCopyDigest(t *testing.T, s *testkit.Site) {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(s.Journal, "digest.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := journal.ReadDigestKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "in.csv")
	if err := os.WriteFile(file, []byte(strings.Repeat("7,seven\n", 50_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `CREATE TABLE copied (n int, name text);
\copy copied FROM '` + file + `' CSV
\copy copied TO '` + dir + `/out.csv' CSV
\copy copied TO '` + dir + `/out.bin' (FORMAT binary)
\copy copied (n, name) FROM '` + dir + `/out.bin' (FORMAT binary)
`
	if out := run(t, script, "psql", "-X", "-v", "ON_ERROR_STOP=1", s.LabProxied()); strings.Count(out, "COPY 50000") != 4 {
		t.Fatal(out)
	}
	for text, name := range map[string]string{
		"COPY  copied FROM": "in.csv", "COPY  copied TO STDOUT CSV": "out.csv",
		"COPY  copied TO STDOUT (FORMAT": "out.bin", "COPY  copied ( n, name ) FROM": "out.bin",
	} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		h := key.Hash()
		_, _ = h.Write(content)
		r := outcomeOf(t, s, text)
		if want := hex.EncodeToString(h.Sum(nil)); r.CopyDigest != want || r.Rows != 50_000 || r.Bytes < int64(len(content)) {
			t.Errorf("%s: digest %s, %d rows, %d bytes; want %s and %d bytes", text, r.CopyDigest, r.Rows, r.Bytes, want, len(content))
		}
	}
}

// parametersOf waits for the parameters of the statement with a text.
func parametersOf(t *testing.T, s *testkit.Site, text string) *journal.Parameters {
	t.Helper()
	r := s.Await(t, text, recordOf(text))
	if r.Parameters == nil {
		t.Fatalf("%s: no parameters", text)
	}
	if err := r.LoadParameters(0); err != nil {
		t.Fatal(err)
	}
	return r.Parameters
}

func testParametersOfPgx(t *testing.T, s *testkit.Site) {
	t.Helper()
	at := time.Date(2024, 2, 29, 12, 0, 0, 1000, time.UTC)
	const want = `$1 = '-7', $2 = 'it''s', $3 = NULL, $4 = '', $5 = '2024-02-29 12:00:00.000001+00', $6 = '{1,2,NULL}', $7 = '\x00ff', $8 = 't', $9 = '1.50', $10 = '{"a": 1}'`
	digests := map[string]bool{}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec} {
		c, err := pgx.Connect(t.Context(), s.LabProxied())
		if err != nil {
			t.Fatal(err)
		}
		sql := fmt.Sprintf("SELECT $1::int8, $2::text, $3::text, $4::text, $5::timestamptz, $6::int4[], $7::bytea, $8::bool, $9::numeric, $10::jsonb, '%s'", mode)
		one, two := int32(1), int32(2)
		_, err = c.Exec(t.Context(), sql, mode, int64(-7), "it's", nil, "", at, []*int32{&one, &two, nil}, []byte{0, 255}, true, "1.50", `{"a": 1}`)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := parametersOf(t, s, sql)
		if got := p.String(); got != want {
			t.Errorf("%s: %s\nwant %s", mode, got, want)
		}
		digests[p.Digest] = true
	}
	if len(digests) > 2 { // with the types known, and not
		t.Errorf("%d digests of the same values: %v", len(digests), digests)
	}
}

// A large value is a blob, whole; and the commands for people show it.
func testLargeParameter(t *testing.T, s *testkit.Site) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.LabProxied())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context()) //nolint:errcheck // the test is over
	value := strings.Repeat("0123456789abcdef", 5<<16)
	const sql = "SELECT length($1::text), $2::int8"
	if _, err := c.Exec(t.Context(), sql, value, 42); err != nil {
		t.Fatal(err)
	}
	p := parametersOf(t, s, sql)
	if p.Blob == nil || len(p.Values) != 2 || p.Values[0].Value != value || p.Values[1].Value != "42" {
		t.Errorf("%d values, blob %v", len(p.Values), p.Blob)
	}
	r := s.Await(t, sql, recordOf(sql))
	for _, args := range [][]string{{"query", "--contains", "length($1::text)", "--format", "csv"}, {"session", r.Session}, {"verify"}} {
		out, err := exec.CommandContext(t.Context(), s.Binary, slices.Concat([]string{"audit", args[0], "--config", s.ConfigFile}, args[1:])...).CombinedOutput()
		if err != nil || args[0] != "verify" && !strings.Contains(string(out), "2 more in a blob") && !strings.Contains(string(out), "$2 = '42'") {
			t.Errorf("%v: %v\n%.2000s", args, err, out)
		}
	}
}

// pgbench sends its parameters as text, prepared and not.
func testParametersOfPgbench(t *testing.T, s *testkit.Site) {
	t.Helper()
	for _, mode := range []string{"extended", "prepared"} {
		script := filepath.Join(t.TempDir(), "script.sql")
		text := "SELECT :n::int * 2, '" + mode + "';"
		if err := os.WriteFile(script, []byte("\\set n 21\n"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "", "pgbench", "-n", "-M", mode, "-t", "3", "-f", script, s.LabProxied())
		sql := "SELECT $1::int * 2, '" + mode + "';"
		found, err := s.Records(recordOf(sql))
		if err != nil || len(found) != 3 {
			t.Fatalf("%d records of %s, %v", len(found), sql, err)
		}
		for _, r := range found {
			if r.Parameters == nil || r.Parameters.String() != "$1 = '21'" {
				t.Errorf("%s: %v", mode, r.Parameters)
			}
		}
	}
}

// libpq writes large objects by FunctionCall: what it writes is on record.
func testLargeObject(t *testing.T, s *testkit.Site) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "object")
	if err := os.WriteFile(file, []byte("large object"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "\\lo_import "+file+"\n", "psql", "-X", s.LabProxied())
	p := parametersOf(t, s, "FUNCTION CALL lowrite")
	if got := p.String(); got != `$1 = '0', $2 = '\x`+hex.EncodeToString([]byte("large object"))+`'` {
		t.Errorf("%s", got)
	}
}
