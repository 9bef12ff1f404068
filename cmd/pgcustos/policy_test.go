package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const policyRules = `
services:
  - {account: svc-orders, owner: alice@corp.example.com, purpose: the shop}
backends:
  - name: db
    hosts: ["db.corp.example.com:5432"]
    tls: {ca: nowhere.crt}
    tier: 2
    credentials: {app_ro: {password_file: nowhere.password}, app_rw: {password_env: NO_SUCH_VARIABLE}}
rules:
  - name: readers
    groups: [Readers]
    databases: [orders]
    sources: [10.0.0.0/16]
    kinds: [person]
    grant: {backend: db, role: app_ro, classes: [READ, MISC, MISC_SET], deny_commands: [LISTEN], deny_objects: [private.*]}
  - name: services
    groups: [Services]
    databases: [orders]
    sources: [10.0.0.0/16]
    kinds: [service]
    grant: {backend: db, role: app_rw, classes: [READ, WRITE, MISC, MISC_SET], objects: [shop.*], mode: observe}
journal: {path: anything goes here, unheard_of: 1}
`

const policyCases = `
identities:
  alice: {groups: [Readers, S-1-5-32-545, "CN=Staff,DC=corp"]}
  svc-orders: {groups: [Services]}
cases:
  - {identity: alice, database: orders, source: 10.0.1.2, statement: SELECT 1, expect: {decision: allowed, rule: readers, role: app_ro}}
  - {identity: alice, database: orders, source: 10.0.1.2, statement: "SELECT 1; DELETE FROM t", expect: {decision: denied, missing: class WRITE}}
  - {identity: alice, database: orders, source: 10.0.1.2, statement: "EXPLAIN ANALYZE DELETE FROM t", expect: denied}
  - {identity: alice, database: orders, source: 10.0.1.2, statement: LISTEN x, expect: {decision: denied, missing: command LISTEN}}
  - {identity: alice, database: orders, source: 10.0.1.2, statement: /* nothing */, expect: allowed}
  - {identity: alice, database: orders, source: 10.0.1.2, statement: SELECT FROM WHERE, expect: {decision: denied, missing: class UNKNOWN}}
  - name: a prepared statement is what it stands for
    identity: alice
    database: orders
    source: 10.0.1.2
    before: ["BEGIN", "PREPARE p AS SELECT * FROM private.salaries", "ROLLBACK", "PREPARE p AS SELECT 1"]
    statement: EXECUTE p
    expect: allowed
  - name: search_path does not help
    identity: alice
    database: orders
    source: 10.0.1.2
    before:
      - SET search_path = private
    statement: |
      SELECT *
      FROM salaries
    expect: denied
  - {identity: alice, database: other, source: 10.0.1.2, expect: no_session}
  - {identity: svc-orders, database: orders, source: 10.0.1.2, statement: DELETE FROM shop.carts WHERE id = 1, expect: {decision: allowed, role: app_rw}}
  - {identity: svc-orders, database: orders, source: 10.0.1.2, statement: SELECT * FROM public.carts, expect: {decision: would_deny, missing: relation public.carts}}
`

func policyFiles(t *testing.T, cases string) (rules, table string) {
	t.Helper()
	dir := t.TempDir()
	rules, table = filepath.Join(dir, "pgcustos.yaml"), filepath.Join(dir, "cases.yaml")
	for path, text := range map[string]string{rules: policyRules, table: cases} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return rules, table
}

// TestPolicyTest needs neither a server nor a secret.
func TestPolicyTest(t *testing.T) {
	t.Parallel()
	rules, table := policyFiles(t, policyCases)
	if r := pgcustos(t, "policy", "test", table, "--config", rules); r.code != 0 || !strings.HasSuffix(r.stdout, "\n11 passed, 0 failed\n") {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	rules, table = policyFiles(t, strings.NewReplacer("statement: LISTEN x, expect: {decision: denied, missing: command LISTEN}", "statement: LISTEN x, expect: allowed",
		"database: other, source: 10.0.1.2, expect: no_session", "database: other, source: 10.0.1.2, expect: allowed").Replace(policyCases))
	r := pgcustos(t, "policy", "test", table, "--config", rules)
	for _, want := range []string{
		"FAIL  " + table + ":9:5: alice: LISTEN x\n      decision denied, expected allowed (rule readers does not give command LISTEN)\n",
		"FAIL  " + table + ":29:5: alice\n      decision no_session, expected allowed (no_matching_rule: readers: database \"other\" is not among orders)\n",
		"\n9 passed, 2 failed\n",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if r.code != 1 || t.Failed() {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// TestPolicyTestErrors are the table's own, each with its place.
func TestPolicyTestErrors(t *testing.T) {
	t.Parallel()
	for old, want := range map[string]string{
		"expect: no_session":       ":29:66: cases[8].expect: \"nothing\" is not one of allowed, denied, would_deny, no_session",
		"{identity: alice, datab":  ":6:16: cases[0].identity: there is no identity \"alicia\"; known: alice, svc-orders",
		"source: 10.0.1.2, stat":   ":6:49: cases[0].source: \"10.0.1.256\" is not an IP address",
		"alice: {groups: [Readers": ":3:11: identities.alice.group: unknown key; did you mean \"groups\"?",
	} {
		replacement := map[string]string{
			"expect: no_session": "expect: nothing", "{identity: alice, datab": "{identity: alicia, datab",
			"source: 10.0.1.2, stat": "source: 10.0.1.256, stat", "alice: {groups: [Readers": "alice: {group: [Readers",
		}[old]
		rules, table := policyFiles(t, strings.Replace(policyCases, old, replacement, 1))
		if r := pgcustos(t, "policy", "test", table, "--config", rules); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit %d: %s, want %s", replacement, r.code, r.stderr, want)
		}
	}
	rules, _ := policyFiles(t, policyCases)
	if r := pgcustos(t, "policy", "test", "nowhere.yaml", "--config", rules); r.code != 1 || !strings.Contains(r.stderr, "no such file") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}
