package main

import (
	"regexp"
	"strings"
	"testing"
)

var ids = regexp.MustCompile(`S-1-5-21(-[0-9]+)+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func TestExplain(t *testing.T) {
	s := newSite(t)
	tests := []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"nested-group", []string{"--user", "alice", "--source", "127.0.0.1"}, exitOK, []string{
			"asked for  \"alice\"\n", "account    alice (person)\n", "state      in good order\n",
			"rule       migrations: no\n             groups and accounts: not in APP-Orders-Migrations\n             reason: a reason must be given",
			"rule       readers: chosen, through APP-Orders-Readers\n", "role       app_ro_orders\n", "classes    READ\n", "durability disk\n",
		}},
		{"other-forms", []string{"--user", `corp\ALICE`, "--source", "::ffff:127.0.0.1"}, exitOK, []string{"account    alice (person)", "source     127.0.0.1\n"}},
		{"other-source", []string{"--user", "alice", "--source", "10.0.0.1"}, exitFailure, []string{"sources: source 10.0.0.1 is not in 127.0.0.0/16", "denied     no rule matches\n"}},
		{"role-without-reason", []string{"--user", "bob", "--source", "127.0.0.1", "--role", "migrate_orders"}, exitFailure, []string{"reason: a reason must be given", "gives role app_ro_orders, and \"migrate_orders\" was asked for"}},
		{"role-and-reason", []string{"--user", "bob", "--source", "127.0.0.1", "--role", "migrate_orders", "--reason", "CHG-7"}, exitOK, []string{"rule       migrations: chosen, through APP-Orders-Migrations"}},
		{"disabled", []string{"--user", "dave", "--source", "127.0.0.1"}, exitFailure, []string{"state      disabled\n", "denied     the account is kept out (disabled)"}},
		{"no-groups", []string{"--user", "carol", "--source", "127.0.0.1"}, exitFailure, []string{"denied     no rule matches\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := pgcustos(t, append([]string{"explain", "--config", s.config, "--database", "orders"}, tt.args...)...)
			if r.code != tt.code || r.stderr != "" {
				t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
			}
			for _, text := range tt.says {
				if !strings.Contains(r.stdout, text) {
					t.Errorf("%q is missing in:\n%s", text, ids.ReplaceAllString(r.stdout, "…"))
				}
			}
		})
	}
}

// TestExplainMethod: how somebody comes in is part of the question.
func TestExplainMethod(t *testing.T) {
	s := newSite(t)
	s.write(t, "    groups: [APP-Orders-Readers]\n", "    groups: [APP-Orders-Readers]\n    methods: [kerberos]\n    assurance: [S-1-5-65-1]\n")
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitFailure, "             methods: method password is not among kerberos\n             assurance: the client's ticket has none of S-1-5-65-1\n"},
		{[]string{"--method", "kerberos"}, exitFailure, "             assurance: the client's ticket has none of S-1-5-65-1\n"},
		{[]string{"--method", "kerberos", "--assurance", "S-1-18-1,S-1-5-65-1"}, exitOK, "assurance  S-1-18-1, S-1-5-65-1\n"},
	} {
		r := pgcustos(t, append([]string{"explain", "--config", s.config, "--database", "orders", "--user", "alice", "--source", "127.0.0.1"}, tt.args...)...)
		if r.code != tt.code || !strings.Contains(r.stdout, tt.says) {
			t.Errorf("%v: exit code %d, %s\n%s", tt.args, r.code, r.stderr, r.stdout)
		}
	}
	if r := pgcustos(t, "explain", "--config", s.config, "--database", "orders", "--user", "alice", "--source", "127.0.0.1", "--assurance", "S-1-5-65-1"); r.code != exitUsage {
		t.Errorf("--assurance with a password: %+v", r)
	}
	if r := pgcustos(t, "check", "--config", s.config); !strings.Contains(r.stdout, "rule readers: asks for a Kerberos ticket, and there is no section kerberos") {
		t.Errorf("check:\n%s", r.stdout)
	}
}

func TestExplainNobody(t *testing.T) {
	s := newSite(t)
	r := pgcustos(t, "explain", "--config", s.config, "--database", "orders", "--source", "127.0.0.1", "--user", "nobody*")
	if r.code != exitFailure || r.stdout != "" || !strings.Contains(r.stderr, `"nobody*": no such account`) {
		t.Errorf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
}

var times = regexp.MustCompile(` *[0-9.]+ ms to |"microseconds": [0-9]+`)

// TestExplainStatement: all that there is to say, in goldens that are meant to be
// read.
func TestExplainStatement(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct {
		name, user, statement string
		args                  []string
		code                  int
	}{
		{"allowed", "alice", "SELECT id FROM orders", nil, exitOK},
		{"denied", "alice", "SELECT 1; DELETE FROM public.orders", nil, exitFailure},
		{"unread", "bob", "SELEKT \x1b[2J", nil, exitFailure},
		{"no-session", "carol", "SELECT 1", nil, exitFailure},
		{"json", "alice", "TRUNCATE orders", []string{"--as-json"}, exitFailure},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"explain", "--config", s.config, "--database", "orders", "--source", "127.0.0.1", "--user", tt.user, "--statement", tt.statement}, tt.args...)
			r := pgcustos(t, args...)
			if r.code != tt.code || r.stderr != "" {
				t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
			}
			golden(t, "explain-"+tt.name, times.ReplaceAllString(ids.ReplaceAllString(r.stdout, "…"), " … "))
		})
	}
}

// TestExplainObserved: what is only observed is told as what enforcement would do.
func TestExplainObserved(t *testing.T) {
	s := newSite(t)
	s.write(t, "classes: [READ]}\n", "classes: [READ], mode: observe}\n")
	r := pgcustos(t, "explain", "--config", s.config, "--database", "orders", "--source", "127.0.0.1", "--user", "alice", "--statement", "DROP TABLE orders")
	if r.code != exitOK || !strings.Contains(r.stdout, "decision   would deny: DROP TABLE on orders: rule \"readers\" does not give role \"app_ro_orders\" class DDL (mode: observe lets it pass)\n") {
		t.Errorf("exit code %d, %s\n%s", r.code, r.stderr, r.stdout)
	}
}
