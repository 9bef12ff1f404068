//go:build unix

package config

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var update = flag.Bool("update", false, "write the goldens anew")

// TestErrors breaks the example in one place each, and compares all that is
// said about it. The goldens are meant to be read: line and column, the key,
// what is wrong, what to do.
func TestErrors(t *testing.T) {
	tests := []struct{ name, old, new string }{
		{"address-key-typo", "address: 0.0.0.0:6432", "addresss: 0.0.0.0:6432"},
		{"address-no-port", "0.0.0.0:6432", "0.0.0.0"},
		{"anchor-left-out", "kinds: [person]", "kinds: *people"},
		{"anchor-below", "domain: corp.example.com", "domain: *domain\n  upn_suffixes: [&domain corp.example.com]"},
		{"anchor-twice", "databases: [orders]\n    sources: [10.20.0.0/16]", "databases: &all [orders]\n    sources: &all [10.20.0.0/16]"},
		{"anchor-merge", "kinds: [person]", "<<: {kinds: [person]}"},
		{"backend-unknown", "backend: orders\n      role: app", "backend: order\n      role: app"},
		{"backend-no-tls", "    tls: {ca: db-ca.pem, server_name: \"\"}\n", ""},
		{"backend-two-ways", "hosts: [db1.corp.example.com:5432]", "hosts: [db1:5432, /run/postgresql]"},
		{"backend-duplicate-host", "hosts: [db1.corp.example.com:5432]", "hosts: [db1, DB1]"},
		{"backend-port", "db1.corp.example.com:5432", "db1.corp.example.com:543200"},
		{"authority-missing", "ca: ledger-ca.pem", "ca: nowhere.pem"},
		{"authority-of-another-key", "ca: ledger-ca.pem", "ca: db-ca.pem"},
		{"authority-key-mode", "key: ledger-ca.key", "key: open.password"},
		{"authority-key-not-one", "key: ledger-ca.key", "key: ledger-ca.pem"},
		{"authority-beside-passwords", "    auth: certificate  ", "    credentials: {app_ro_ledger: {password_file: bind.password}}\n    auth: certificate  "},
		{"authority-without-auth", "    auth: certificate  ", "    credentials: {app_ro_ledger: {password_file: bind.password}} #"},
		{"authority-left-out", "    certificate: {ca: ledger-ca.pem, key: ledger-ca.key, lifetime: 10m}   # pgcustos backend add makes them\n", ""},
		{"authority-on-a-socket", "hosts: [db2.corp.example.com:5432]\n    tls: {ca: db-ca.pem, server_name: \"\"}\n", "hosts: [/run/postgresql]\n"},
		{"authority-role", "role: app_ro_ledger", "role: App-Ledger"},
		{"authority-lifetime", "lifetime: 10m", "lifetime: 48h"},
		{"broad-source", "    justification: people read from every office   # for networks broader than /16\n", ""},
		{"broad-source-6", "sources: [10.20.0.0/16]", `sources: ["2001:db8::/32"]`},
		{"client-ca-missing", "  ca: people-ca.pem                    # whose certificates name accounts, by UPN\n", ""},
		{"client-ca-no-authority", "ca: people-ca.pem", "ca: leaf.pem"},
		{"client-crl-not-one", "crl: people-ca.crl", "crl: people-ca.pem"},
		{"client-crl-garbage", "crl: people-ca.crl", "crl: open.password"},
		{"client-subject-half", ", account: svc-orders}", "}"},
		{"client-subject-twice", ", account: svc-orders}", ", account: svc-orders}\n    - {subject: \"CN=batch-7,OU=Services,O=Corp\", account: alice}"},
		{"client-pin-method", "method: certificate}", "method: trust}"},
		{"cidr-bad", "10.20.0.0/16", "10.20.0.0/33"},
		{"cidr-address", "10.20.0.0/16", "10.20.0.1"},
		{"cidr-host-bits", "10.20.0.0/16", "10.20.0.1/16"},
		{"cidr-mapped", "10.20.0.0/16", `"::ffff:10.20.0.0/112"`},
		{"class-unknown", "[READ, MISC, MISC_SET]", "[REED, MISC, SUPER]"},
		{"tag-unknown", "[ddl, procedural, maintenance]", "[dll]"},
		{"controllers-word", "controllers: [ldaps://dc1.corp.example.com:636, ldaps://dc2.corp.example.com:636]", "controllers: everywhere"},
		{"controllers-none", "controllers: [ldaps://dc1.corp.example.com:636, ldaps://dc2.corp.example.com:636]", "controllers: []"},
		{"dns-server-of-a-list", "# dns_server: 10.0.0.2:53", "dns_server: 10.0.0.2:53"},
		{"dns-server-name", "controllers: [ldaps://dc1.corp.example.com:636, ldaps://dc2.corp.example.com:636]", "controllers: dns\n  dns_server: ns.corp.example.com"},
		{"starttls-word", "starttls: false", "starttls: always"},
		{"controller-plain", "ldaps://dc1", "ldap://dc1"},
		{"duplicate-key", "  level: info  ", "  level: info\n  level: warn"},
		{"duplicate-rule", "name: orders-readers", "name: orders-migrations"},
		{"duration-no-unit", "timeout: 30s  ", "timeout: 30  "},
		{"duration-word", "timeout: 30s  ", "timeout: soon"},
		{"duration-range", "timeout: 30s  ", "timeout: 1ms  "},
		{"file-missing", "certificate: server.crt", "certificate: missing.crt"},
		{"file-not-pem", "ca: db-ca.pem", "ca: app_rw_orders.password"},
		{"file-key-in-ca", "ca: db-ca.pem", "ca: server.key"},
		{"grant-missing", "      classes: [READ, MISC, MISC_SET]\n", ""},
		{"key-and-certificate-swapped", "certificate: server.crt", "certificate: server.key"},
		{"keytab-missing", "keytab: postgres.keytab", "keytab: nowhere.keytab"},
		{"keytab-mode", "keytab: postgres.keytab", "keytab: open.password"},
		{"keytab-not-one", "keytab: postgres.keytab", "keytab: bind.password"},
		{"keytab-weak", "keytab: postgres.keytab", "keytab: rc4.keytab"},
		{"keytab-of-another-service", "keytab: postgres.keytab", "keytab: http.keytab"},
		{"kerberos-pin-method", "method: kerberos}", "method: trust}"},
		{"kerberos-pin-without-method", ", method: password}", "}"},
		{"assurance-no-sid", "kinds: [person]", "assurance: [smartcard]"},
		{"assurance-of-passwords", "kinds: [person]", "assurance: [S-1-5-65-1]\n    methods: [password]"},
		{"limits-inverted", "{statement: 30s, idle: 1h, session: 12h, connections: 5}", "{statement: 13h, idle: 1h, session: 12h, connections: 500}"},
		{"name-strange", "name: orders-readers", "name: orders readers"},
		{"node-strange", "node: proxy-1", "node: ../proxy"},
		{"null-value", "role: app_ro_orders", "role:"},
		{"number-for-string", "domain: corp.example.com", "domain: 7"},
		{"objects-bad", "private.*", `"private.["`},
		{"password-inline", "{password_file: app_ro_orders.password}", "{password: hunter2}"},
		{"password-missing", "bind_password_file: bind.password", "bind_password_file: nowhere"},
		{"password-twice", "{password_file: app_ro_orders.password}", "{password_file: app_ro_orders.password, password_env: X}"},
		{"password-env-unset", "MIGRATE_ORDERS_PASSWORD", "PGCUSTOS_UNSET_VARIABLE"},
		{"password-mode", "bind_password_file: bind.password", "bind_password_file: open.password"},
		{"password-empty", "bind_password_file: bind.password", "bind_password_file: empty.password"},
		{"password-two-lines", "bind_password_file: bind.password", "bind_password_file: server.key"},
		{"password-fifo", "bind_password_file: bind.password", "bind_password_file: fifo.password"},
		{"per-source-more-than-all", "connections_per_source: 50", "connections_per_source: 501"},
		{"proxy-protocol-everyone", "[10.0.0.10/32]", "[0.0.0.0/0]"},
		{"reason-bad", "'^CHG-[0-9]+$'", "'^CHG-[0-9+$'"},
		{"reason-empty", "'^CHG-[0-9]+$'", "''"},
		{"reason-any", "'^CHG-[0-9]+$'", "'.*'"},
		{"reason-escape", "'^CHG-[0-9]+$'", "'a)|(?:b'"},
		{"reserve-too-large", "reserve: 1MiB", "reserve: 60MiB"},
		{"role-no-credentials", "role: app_ro_orders", "role: app_xx_orders"},
		{"role-pg", "role: app_ro_orders", "role: pg_app_ro_orders"},
		{"rule-for-nobody", "    groups: [APP-Orders-Readers]\n", ""},
		{"rule-empty-list", "groups: [APP-Orders-Readers]", "groups: []"},
		{"rule-wildcard", "groups: [APP-Orders-Readers]", "groups: ['*']"},
		{"rule-kind", "kinds: [person]", "kinds: [people]"},
		{"rules-not-a-list", "\nrules:  ", "\nrules: {}\nother:  "},
		{"section-missing", "journal:\n  path: /var/lib/pgcustos/journal\n  segment_size: 64MiB\n  reserve: 1MiB                        # of each segment, for log-ins, denials and revocations\n  floor: 1GiB                          # below so much free disk, no account gets more than a quarter of the rest\n  budget: {rate: 32MiB, burst: 1GiB}   # what one account may write: a second, and at once\n  signing_key: journal.key             # signs checkpoints; pgcustos audit keygen makes it\n  rotate: 24h                          # the age at which a segment with events is sealed\n  compression: zstd                    # zstd | none: what is made of segments when they are full\n  retention:                           # leave it out to keep all for ever\n    age: 400d                          # a segment goes when its youngest record is older\n    tier_0: 2555d                      # of backends of tier 0 (likewise tier_1 to tier_3); the longest of a segment counts\n    size: 500GiB                       # beyond it the oldest segments go sooner\n    at_least: 30d                      # but never before that\n", ""},
		{"service-twice", "backends:\n", "  - {account: SVC-Orders, owner: alice, purpose: the same again}\n\nbackends:\n"},
		{"service-with-domain", "account: svc-orders\n", "account: svc-orders@corp.example.com\n"},
		{"service-owned-by-a-service", "owner: alice@corp.example.com", "owner: CORP\\SVC-Orders"},
		{"service-expires", "2099-12-31", "next year"},
		{"service-expires-number", "2099-12-31", "20991231"},
		{"service-source", "[10.20.1.0/24]", "[10.20.1.7]"},
		{"service-source-none", "[10.20.1.0/24]", "[]"},
		{"service-method", "methods: [password, kerberos]", "methods: [keytab]"},
		{"service-rule-unknown", "# rules: [ledger-readers]", "rules: [ledger-reader]"},
		{"service-rule-for-people", "# rules: [ledger-readers]", "rules: [orders-migrations]"},
		{"service-password-age", "password_max_age: 365d", "password_max_age: 1h"},
		{"service-owner-gone", "owner_gone: quarantine", "owner_gone: ignore"},
		{"service-owner-grace", "owner_grace: 7d", "owner_grace: soon"},
		{"service-owner-missing", "    owner: alice@corp.example.com\n", ""},
		{"driver-unknown", "driver: epoll ", "driver: kqueue "},
		{"loops-of-goroutines", "driver: epoll                        # epoll | goroutine: what moves the bytes of sessions\n  loops: 0", "driver: goroutine\n  loops: 4"},
		{"rotate-short", "rotate: 24h", "rotate: 5s"},
		{"retention-short", "age: 400d", "age: 5s"},
		{"retention-word", "age: 400d", "age: long"},
		{"retention-tier-alone", "    age: 400d                          # a segment goes when its youngest record is older\n", ""},
		{"retention-at-least", "at_least: 30d", "at_least: 500d"},
		{"encryption-nobody", "\nparser:\n", "  encryption: {recipients: []}\n\nparser:\n"},
		{"encryption-recipients-missing", "\nparser:\n", "  encryption: {overdue: 1h}\n\nparser:\n"},
		{"encryption-not-a-key", "\nparser:\n", "  encryption: {recipients: [age1nobody]}\n\nparser:\n"},
		{"encryption-secret", "\nparser:\n", "  encryption: {recipients: [AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ]}\n\nparser:\n"},
		{"encryption-mixed", "\nparser:\n", "  encryption: {recipients: [age1t2fa3d79sph68e0p6psyfdv60766x6kcxtx9f4hvn45fmpvn39ps3lze53, age1pq1y4nsutj4gqr4r8d3zf9rf9rv2e4ykcgu9c64smqqym9aghx08r9278pj4peg39twfp7dy9mfnn4grnl3w5u7p0d86qq2sfyeavsql8rg8g74vsvw5pc3m7skrkjue5g8rd3njzl6fx52xx5xyq9fc2k92hrxcgznclxs4w6hujncqhms96rkxpa9w74yjxjr27qkq722rgn3g36ycup2xsdl8jc5dmqjx40q0zdrq0za2z3zzyer9ch48mcz4qhj9g0mqqa0x662eqyqphx6kwttrpn03447e7cjg6wj0ds2kffrt8x3murqmsgtm0emxfx8sr5scj2aqskgdhuy5lzh2ayft932tjdgcee94zz8wmr6rr9v9qgqmv2pjx9j2qncaqrjcu0rcv879w6svc4ul3ky5cxu48yyq0fpxwtuk2n67enf09kzsslztzm6z38q9ug88q9mezxj0psz5nvnf8xzyu97qkfj39l60hk4527fsupgwyeh2ufkxdqfjtlzc0yr54sgcvxdk5ghsus48nsfyq956hx6ucth09g6fd62nrhs9dey7gct8uepmrfqu4kce6vsssuthdv0g4pyv25u3dmmjvvx3xvz22jve5jzdemvx3u2r0yqjzdfrfwxcsw03du34a9sgqe0t26kk6a63rrjl8chyrz6hytuce3j2jhw0gfsq42gt96gfh8q4xu7gaw7wmyk0dtjwxs5xf479gj7wggupzz22hnh7avtg6zrvy8vgxdxn7vk2juh6hh9pfe9t8qd2wt6p0yd5mkr72cqpegf5j5tfwqursps8l7r8a8th7zdh0pwh2ydtzg7y7msejrtx53mkzykcf3zx3qduk3r5v5zz5hfc72f6zxhd2ahm955d57m2qk722rfg7a2c4vsl3wvm03epuup525rxe6pv7n3g748mq759l3nss4lwcygeesuy2ykrxmej8qrvn20dsnzj3rp032egmmu290pqv5x32q659s8vaj9fs0tczzyglewx4tg4frezurpw9r6j72440gkm3ggx8q9j8ax8wlmcz2u9trd9jlje8r3m8ytwkt35f5lqwfzz49hk6zzdwjh0zh8h8q5zvuym3gaak7y6678ue8ye7ddwgw6sz73j36gzlepa6ujpe0u29z0pwznu8ph84jzax6s854ckrp27dnfy696zxvs8vh45ch9z2a003xk3myusc55evf9e4lz33legzqvpu9yc09vqhjxtw2u390a899xk34tskqe4uvsr907990zcsn6ju4ehhm5zja4slgcgfkd29cacpf6w9jua3eqcdmmpnjwe9r5rg9tp7y92pgeflqnkn60g88y95xwmha9pp5n53lacnpye20nkpcj3gng080f05z0fp5g4jl4ppgj27py4ecp5jx2ttqg8j7qeun87z2f2t7jtmprvlqc5yfvw6a93t4sxhe9rs8eng5vvvkmywqtvgz4zp8kcs6l0gg6337kpwudjemsz9g523ayvn7glzlgmtr02hm6lzsp2evsqkv0x7nym4gqecfxttwexldev7ztj4mgg4e8flgskdyx0vhe4fete9ngqtyzf0rmzse88yr35v4cqhqt9mx09kf8346qntsrq7m9sk9e8z2jlzx8y5pvf63d2xtnsclm8zr9zjr83fdy2tnugt9pzqvl06glc63nygqmgqsu03ruw3s0w4u59huvkenu8phyw3tfdyz3zg33g9d54l4hsglxrx0tjg40fdn049f2nxa8pl5xrt3rfd5gu693fhtfmnntzxxncgt2j5faf9cy73a8m6jgr9jww66t7d9hcrnszyhehkacucjn3fqcget24yjsk53khhe4f60nnwt2rq9lllw97d684v70gwwv597nj3mxht5q7v90r962u5txuxzn5ca0grkppq32glla]}\n\nparser:\n"},
		{"encryption-overdue", "\nparser:\n", "  encryption: {recipients: [age1t2fa3d79sph68e0p6psyfdv60766x6kcxtx9f4hvn45fmpvn39ps3lze53], overdue: 5s}\n\nparser:\n"},
		{"encryption-plain", "  compression: zstd ", "  encryption: {recipients: [age1t2fa3d79sph68e0p6psyfdv60766x6kcxtx9f4hvn45fmpvn39ps3lze53]}\n  compression: none "},
		{"encryption-unsigned", "  signing_key: journal.key             # signs checkpoints; pgcustos audit keygen makes it\n", "  encryption: {recipients: [age1t2fa3d79sph68e0p6psyfdv60766x6kcxtx9f4hvn45fmpvn39ps3lze53]}\n"},
		{"sink-format", "format: native ", "format: cef "},
		{"sink-format-postgres", "    password_file: audit_writer.password\n", "    password_file: audit_writer.password\n    format: ocsf\n"},
		{"retention-plain", "compression: zstd ", "compression: none "},
		{"compression-unknown", "compression: zstd", "compression: gzip"},
		{"size-decimal-unit", "segment_size: 64MiB", "segment_size: 64MB"},
		{"size-number", "segment_size: 64MiB", "segment_size: 67108864"},
		{"signing-key-missing", "signing_key: journal.key", "signing_key: nowhere.key"},
		{"signing-key-of-another-kind", "signing_key: journal.key", "signing_key: server.key"},
		{"signing-key-mode", "signing_key: journal.key", "signing_key: open.password"},
		{"signing-key-not-one", "signing_key: journal.key", "signing_key: server.crt"},
		{"tier-range", "tier: 1  ", "tier: 4  "},
		{"tls-version", `min_version: "1.2"`, "min_version: 1.1"},
		{"truth-for-string", "name: orders-readers", "name: true"},
		{"two-documents", "journal:", "---\njournal:"},
		{"yaml-broken", "listen:", "listen: ["},
		{"utf-16", "# pgcustos", "\xff\xfe# pgcustos"},
		{"utf-16-big-endian", "# pgcustos", "\xfe\xff# pgcustos"},
		{"nested-lists", "kinds: [person]", "kinds: " + strings.Repeat("[", 50_000)},
		{"nested-mappings", "level: info", "level: " + strings.Repeat("{a: ", 50_000)},
		{"nested-blocks", "level: info", staircase(500)},
		{"nested-in-a-line", "level: info", "level:\n    " + strings.Repeat("- ", 50_000)},
		{"nested-anchors", "level: info", "level: " + strings.Repeat("&a ", 50_000)},
		{"catalog-refresh", "refresh: 1m ", "refresh: 1 "},
		{"catalog-memory", "memory: 64MiB                    # of what is known", "memory: 1KiB # of what is known"},
		{"catalog-no-role", "role: catalog_reader  ", "rol: catalog_reader  "},
		{"catalog-reserved-role", "role: catalog_reader  ", "role: pg_monitor  "},
		{"catalog-password-missing", "password_file: catalog_reader.password ", "# "},
		{"catalog-password-twice", "role: catalog_reader  ", "role: app_ro_orders  "},
		{"catalog-password-of-certificates", "lifetime: 10m}   #", "lifetime: 10m}\n    catalog: {role: catalog_reader, password_file: catalog_reader.password}   #"},
		{"catalog-word", "certificate: {ca: ledger-ca.pem,", "catalog: yes\n    certificate: {ca: ledger-ca.pem,"},
		{"command-bad", "deny_commands: [DROP DATABASE", "deny_commands: [drop database"},
		{"commands-empty", `deny_commands: [DROP DATABASE, "ALTER SYSTEM*"]`, "commands: []"},
		{"objects-empty", "objects: [public.*, pg_catalog.*, information_schema.*]", "objects: []"},
		{"record-bad", "{parameters: full, copy: digest}", "{parameters: all, copy: full}"},
		{"record-text-bad", "{parameters: full, copy: digest}", "{statement_text: mask}"},
		{"record-values-of-masked-text", "{parameters: full, copy: digest}", "{statement_text: masked, parameters: full}"},
		{"redact-not-one", "pattern: '\\b[0-9]{4}([ -]?[0-9]{4}){3}\\b'", "pattern: '[0-9'"},
		{"redact-everywhere", "pattern: '\\b[0-9]{4}([ -]?[0-9]{4}){3}\\b'", "pattern: '[0-9]*'"},
		{"redact-too-large", "pattern: '\\b[0-9]{4}([ -]?[0-9]{4}){3}\\b'", "pattern: '([0-9]{1,99}x){9}[a-z]{999}[0-9]{999}[a-z]{999}[0-9]{999}'"},
		{"redact-twice", "redact:                                # what", "redact:\n  - {name: card, pattern: x} # what"},
		{"several", "groups: [APP-Orders-Readers]\n    databases: [orders]\n    sources: [10.0.0.0/8]", "group: [APP-Orders-Readers]\n    databases: [orders, orders]\n    sources: [10/8, 10.1.0.0/40]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t)
			write(t, filepath.Join(dir, "open.password"), "x", 0o644)
			write(t, filepath.Join(dir, "empty.password"), "\n", 0o600)
			write(t, filepath.Join(dir, "leaf.pem"), leafPEM(t), 0o644)
			if err := syscall.Mkfifo(filepath.Join(dir, "fifo.password"), 0o600); err != nil {
				t.Fatal(err)
			}
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

// staircase is a mapping in a mapping, and so on.
func staircase(steps int) string {
	var b strings.Builder
	for i := range steps {
		b.WriteString("a:\n  " + strings.Repeat(" ", i+1))
	}
	return b.String() + "a: b"
}

// leafPEM makes a certificate that is no authority's.
func leafPEM(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	golden := filepath.Join("testdata", "errors", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, golden, got, 0o644)
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
