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

func TestExplainNobody(t *testing.T) {
	s := newSite(t)
	r := pgcustos(t, "explain", "--config", s.config, "--database", "orders", "--source", "127.0.0.1", "--user", "nobody*")
	if r.code != exitFailure || r.stdout != "" || !strings.Contains(r.stderr, `"nobody*": no such account`) {
		t.Errorf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
}
