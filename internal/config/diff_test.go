package config

import (
	"path/filepath"
	"strings"
	"testing"
)

// terms is what the example's service is declared with that can be left out.
const terms = `    expires: 2099-12-31                # its last day; a warning is on record 30, 7 and 1 days before
    sources: [10.20.1.0/24]            # within what its rules say; default: anywhere
    methods: [password, kerberos]      # how it may prove itself; default: by any
    password_max_age: 365d             # since pwdLastSet; default: any
`

func TestDiff(t *testing.T) {
	tests := []struct {
		name, old, new string
		want           []string
	}{
		{"nothing", "# default: the host's name", "# another comment", nil},
		{"classes", "[READ, MISC, MISC_SET]", "[READ, WRITE, MISC]", []string{"rule orders-readers: classes gain WRITE", "rule orders-readers: classes lose MISC_SET"}},
		{"sources", "[10.20.0.0/16]", "[10.21.0.0/16]", []string{"rule orders-migrations: sources gain 10.21.0.0/16", "rule orders-migrations: sources lose 10.20.0.0/16"}},
		{"rename", "name: orders-readers", "name: readers", []string{
			"rule orders-readers: removed (role app_ro_orders on backend orders)",
			"rule readers: added, number 2 of 3 (role app_ro_orders on backend orders; for APP-Orders-Readers)",
		}},
		{"reason", "'^CHG-[0-9]+$'", "'^INC-[0-9]+$'", []string{`rule orders-migrations: reason: \A(?:^CHG-[0-9]+$)\z becomes \A(?:^INC-[0-9]+$)\z`}},
		{"kinds", "kinds: [person]", "kinds: [person, service]", []string{"rule orders-migrations: kinds: person becomes person, service"}},
		{"hosts", "db1.corp.example.com:5432", "db2.corp.example.com:5432", []string{"backend orders: hosts: db1.corp.example.com:5432 becomes db2.corp.example.com:5432"}},
		{"auth", "    auth: certificate                  # password | certificate: no role of this backend has a password\n    certificate: {ca: ledger-ca.pem, key: ledger-ca.key, lifetime: 10m}", "    credentials: {app_ro_ledger: {password_file: bind.password}}", []string{"backend ledger: auth: certificate becomes password", "backend ledger: credentials gain app_ro_ledger"}},
		{"certificates", "lifetime: 10m", "lifetime: 1h", []string{"backend ledger: certificate.lifetime: 10m0s becomes 1h0m0s"}},
		{"subjects", "OU=Services,O=Corp", "OU=Jobs,O=Corp", []string{
			"client_certificates: subjects gain CN=batch-7,OU=Jobs,O=Corp is svc-orders",
			"client_certificates: subjects lose CN=batch-7,OU=Services,O=Corp is svc-orders",
		}},
		{"tier", "tier: 1 ", "tier: 2 ", []string{"rule orders-readers: durability: disk becomes process", "rule orders-readers: changes.directory_silent for people: 1h0m0s becomes 4h0m0s", "backend orders: tier: 1 becomes 2"}},
		{"limit", "statement: 30s,", "statement: 60s,", []string{"rule orders-readers: limits.statement: 30s becomes 1m0s"}},
		{"mode", "mode: enforce", "mode: observe", []string{"rule orders-migrations: mode: enforce becomes observe"}},
		{"only objects", "objects: [public.*, pg_catalog.*, information_schema.*]", "", []string{"rule orders-readers: objects: information_schema.*, pg_catalog.*, public.* becomes (any)"}},
		{"only other objects", "[public.*, ", "[sales.*, ", []string{"rule orders-readers: objects gain sales.*", "rule orders-readers: objects lose public.*"}},
		{"commands", `deny_commands: [DROP DATABASE, "ALTER SYSTEM*"]`, "commands: [CREATE *]", []string{"rule orders-migrations: commands: (any) becomes CREATE *", "rule orders-migrations: deny_commands lose DROP DATABASE, ALTER SYSTEM*"}},
		{"record", "{parameters: full, copy: digest}", "{parameters: digest}", []string{"rule orders-migrations: record.parameters: full becomes digest", "rule orders-migrations: record.copy: digest becomes none"}},
		{"objects", "private.*, ", "", []string{"rule orders-readers: deny_objects lose private.*"}},
		{"service", "account: svc-orders", "account: svc-other", []string{"service svc-orders: removed, the account is taken for a person's", "service svc-other: added (owner alice@corp.example.com)"}},
		{"service terms", "expires: 2099-12-31 ", "expires: 2030-01-31 ", []string{"service svc-orders: ends: 2100-01-01T00:00:00Z becomes 2030-02-01T00:00:00Z"}},
		{"service without terms", terms, "", []string{
			"service svc-orders: ends: 2100-01-01T00:00:00Z becomes never",
			"service svc-orders: sources: 10.20.1.0/24 becomes (any)", "service svc-orders: methods: kerberos, password becomes (any)",
			"service svc-orders: password_max_age: 365d becomes 0d",
		}},
		{"discovery", "controllers: [ldaps://dc1.corp.example.com:636, ldaps://dc2.corp.example.com:636]", "controllers: dns\n  dns_server: 10.0.0.2", []string{
			"directory: controllers: ldaps://dc1.corp.example.com:636, ldaps://dc2.corp.example.com:636 becomes dns", "directory: dns_server: (none) becomes 10.0.0.2:53",
		}},
		{"starttls", "starttls: false", "starttls: true", []string{"directory: starttls: false becomes true"}},
		{"controllers", ", ldaps://dc2.corp.example.com:636", "", []string{"directory: controllers: ldaps://dc1.corp.example.com:636, ldaps://dc2.corp.example.com:636 becomes ldaps://dc1.corp.example.com:636"}},
		{"tls", `min_version: "1.2"`, `min_version: "1.3"`, []string{"listen: min_version: TLS 1.2 becomes TLS 1.3"}},
		{"catalog", "      refresh: 1m ", "      refresh: 5m ", []string{"backend orders: catalog.refresh: 1m0s becomes 5m0s"}},
		{"catalog-role", "role: catalog_reader  ", "role: other_reader  ", []string{
			"backend orders: catalog.role: catalog_reader becomes other_reader",
			"backend orders: credentials gain other_reader", "backend orders: credentials lose catalog_reader",
		}},
		{"driver", "driver: epoll     ", "driver: goroutine ", []string{"listen: driver: epoll becomes goroutine"}},
		{"journal", "segment_size: 64MiB", "segment_size: 128MiB", []string{"journal: segment_size: 64MiB becomes 128MiB"}},
		{"retention", "age: 400d", "age: 200d", []string{"journal: retention.age: 400d becomes 200d"}},
		{"encryption", "\nparser:\n", "  encryption: {recipients: [age1t2fa3d79sph68e0p6psyfdv60766x6kcxtx9f4hvn45fmpvn39ps3lze53]}\n\nparser:\n", []string{"journal: encryption.recipients: (none) becomes age1t2fa3d79sph68e0p6psyfdv60766x6kcxtx9f4hvn45fmpvn39ps3lze53", "journal: encryption.overdue: 0s becomes 1h0m0s"}},
		{"rotate", "rotate: 24h", "rotate: 1h", []string{"journal: rotate: 24h0m0s becomes 1h0m0s"}},
		{"compression", compressed, "compression: none\n", []string{
			"journal: compression: true becomes false", "journal: retention.age: 400d becomes 0d", "journal: retention.tier_0: 2555d becomes 0d",
			"journal: retention.size: 500GiB becomes 0B", "journal: retention.at_least: 30d becomes 0d",
		}},
		{"log", "level: info ", "level: debug ", []string{"log: level: INFO becomes DEBUG"}},
	}
	dir := folder(t)
	before := mustLoad(t, dir, example(t))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			after := mustLoad(t, dir, strings.Replace(example(t), tt.old, tt.new, 1))
			if got, want := Diff(before, after), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			if len(tt.want) > 0 && Diff(after, before) == "" {
				t.Error("there is a difference in one direction only")
			}
		})
	}
}

// compressed is what the example says of compression, and of what needs it.
const compressed = `compression: zstd                    # zstd | none: what is made of segments when they are full
  retention:                           # leave it out to keep all for ever
    age: 400d                          # a segment goes when its youngest record is older
    tier_0: 2555d                      # of backends of tier 0 (likewise tier_1 to tier_3); the longest of a segment counts
    size: 500GiB                       # beyond it the oldest segments go sooner
    at_least: 30d                      # but never before that
`

func TestDiffOrder(t *testing.T) {
	dir := folder(t)
	text := example(t)
	before := mustLoad(t, dir, text)
	head, tail, _ := strings.Cut(text, "  - name: orders-migrations")
	first, rest, _ := strings.Cut(tail, "  - name: orders-readers")
	second, end, _ := strings.Cut(rest, "  - name: ledger-readers")
	after := mustLoad(t, dir, head+"  - name: orders-readers"+second+"  - name: orders-migrations"+first+"  - name: ledger-readers"+end)
	if got, want := Diff(before, after), "rules: order becomes orders-readers, orders-migrations, ledger-readers"; got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestDiffHoldsNoSecret changes where passwords come from and what they are.
func TestDiffHoldsNoSecret(t *testing.T) {
	dir := folder(t)
	write(t, filepath.Join(dir, "other.password"), "other-secret", 0o400)
	before := mustLoad(t, dir, example(t))
	text := strings.Replace(example(t), "password_file: app_ro_orders.password", "password_file: other.password", 1)
	text = strings.Replace(text, "bind_password_file: bind.password", "bind_password_file: other.password", 1)
	write(t, filepath.Join(dir, "server.key"), "", 0o600)
	certificate, key := pair(t)
	write(t, filepath.Join(dir, "server.crt"), certificate, 0o644)
	write(t, filepath.Join(dir, "server.key"), key, 0o600)
	got := Diff(before, mustLoad(t, dir, text))
	for _, want := range []string{"the password of role app_ro_orders is read from", "the bind password is read from", "listen: certificate: sha256:"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "-secret") || strings.Contains(got, "PRIVATE") {
		t.Errorf("a secret is in:\n%s", got)
	}
}
