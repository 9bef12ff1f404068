//go:build unix

package config

import (
	"strings"
	"testing"
)

// TestSinkErrors breaks the example's sinks in one place each.
func TestSinkErrors(t *testing.T) {
	tests := []struct{ name, old, new string }{
		{"sink-kind", "kind: syslog", "kind: sislog"},
		{"sink-kind-missing", "    kind: stdout                       # JSON lines\n", ""},
		{"sink-duplicate", "name: siem", "name: AuditDB"},
		{"sink-name", "name: siem", "name: ../siem"},
		{"sink-key-typo", "facility: audit ", "facillity: audit "},
		{"sink-facility", "facility: audit ", "facility: kern "},
		{"sink-no-tls", "    tls: {ca: corp-ca.pem}             # and certificate, key: where the server asks for one\n", ""},
		{"sink-plaintext", "plaintext: false ", "plaintext: true "},
		{"sink-plaintext-word", "plaintext: false ", "plaintext: sometimes "},
		{"sink-address", "siem.corp.example.com:6514", "siem.corp.example.com"},
		{"sink-path", "protocol: grpc ", "path: logs\n    protocol: grpc "},
		{"sink-password-inline", "    password_file: audit_writer.password", "    password: hunter2"},
		{"sink-user", "user: audit_writer", "user: pg_writer"},
		{"sink-port", "    port: 5432\n    database", "    port: 0\n    database"},
		{"sink-host", "host: audit-db.corp.example.com ", "host: audit db "},
		{"sink-certificate-alone", "tls: {ca: corp-ca.pem}             #", "tls: {ca: corp-ca.pem, certificate: server.crt} #"},
		{"sink-stdout-twice", "kind: stdout ", "kind: stdout\n  - name: console2\n    kind: stdout "},
		{"sinks-not-a-list", "sinks:   ", "sinks: {}\nother:   "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t)
			text := example(t)
			if !strings.Contains(text, tt.old) {
				t.Fatalf("the example does not hold %q", tt.old)
			}
			_, err := load(t, dir, strings.Replace(text, tt.old, tt.new, 1))
			if err == nil {
				t.Fatal("loaded")
			}
			compare(t, tt.name, strings.ReplaceAll(err.Error(), dir+"/", "")+"\n")
		})
	}
}

func TestSinksLoad(t *testing.T) {
	c := mustLoad(t, folder(t), example(t))
	if len(c.Sinks) != 4 {
		t.Fatalf("%d sinks", len(c.Sinks))
	}
	p, s, o := c.Sinks[0].Postgres, c.Sinks[1].Syslog, c.Sinks[3].OTLP
	password, err := p.Password()
	if p.Host != "audit-db.corp.example.com" || p.Port != 5432 || p.Node != "proxy-1" || password != "writer-secret" || err != nil {
		t.Errorf("postgres: %s %d %s, %v", p.Host, p.Port, p.Node, err)
	}
	if s.Address != "siem.corp.example.com:6514" || s.Facility != 13 || s.MaxMessage != 8<<10 || s.Hostname != "proxy-1" {
		t.Errorf("syslog: %+v", s)
	}
	if o.Endpoint != "collector.corp.example.com:4317" || o.HTTP || o.Node != "proxy-1" {
		t.Errorf("otlp: %+v", o)
	}
	for i, config := range []bool{p.TLS == nil || p.TLS.InsecureSkipVerify, s.TLS == nil || s.TLS.RootCAs == nil, o.TLS == nil} {
		if config {
			t.Errorf("TLS of sink %d is not verify-full", i)
		}
	}
}

func TestSinksDiff(t *testing.T) {
	dir := folder(t)
	before := mustLoad(t, dir, example(t))
	for _, tt := range []struct{ name, old, new, want string }{
		{"removed", "  - name: console\n    kind: stdout                       # JSON lines\n", "", "sink console: removed, what it has not taken stays in the journal"},
		{"renamed", "name: console", "name: screen", "sink screen: added: stdout\nsink console: removed, what it has not taken stays in the journal"},
		{"moved", "siem.corp.example.com:6514", "siem2.corp.example.com:6514", "siem2.corp.example.com:6514"},
		{"facility", "facility: audit ", "facility: local3 ", "facility local3"},
		{"password", "    password_file: audit_writer.password", "    password_file: app_ro_orders.password", "app_ro_orders.password"},
		{"ca", "ca: corp-ca.pem}\n", "ca: db-ca.pem}\n", "ca db-ca.pem"},
		{"protocol", "protocol: grpc ", "protocol: http ", "(http, /v1/logs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := example(t)
			if !strings.Contains(text, tt.old) {
				t.Fatalf("the example does not hold %q", tt.old)
			}
			after := mustLoad(t, dir, strings.Replace(text, tt.old, tt.new, 1))
			got := Diff(before, after)
			if !strings.Contains(got, tt.want) || strings.Contains(got, "-secret") {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
			if SameSinks(before, after) {
				t.Error("they are taken for the same")
			}
		})
	}
	if !SameSinks(before, mustLoad(t, dir, example(t))) {
		t.Error("the same sinks are taken for others")
	}
}
