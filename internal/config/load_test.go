package config

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/backend"
)

// example returns the shipped example, which every test starts from.
func example(tb testing.TB) string {
	tb.Helper()
	b, err := os.ReadFile("../../pgcustos.example.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// folder makes a directory with all files that the example names.
func folder(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	certificate, key := pair(tb)
	for name, content := range map[string]string{
		"server.crt": certificate, "server.key": key, "corp-ca.pem": certificate, "db-ca.pem": certificate,
		"bind.password": "bind-secret\n", "app_ro_orders.password": "ro-secret\n", "app_rw_orders.password": "rw-secret",
		"audit_writer.password": "writer-secret", "catalog_reader.password": "catalog-secret",
	} {
		write(tb, filepath.Join(dir, name), content, 0o600)
	}
	write(tb, filepath.Join(dir, "people-ca.pem"), certificate, 0o644)
	write(tb, filepath.Join(dir, "people-ca.crl"), revocations(tb, certificate, key), 0o644)
	authority, authorityKey := pair(tb)
	write(tb, filepath.Join(dir, "ledger-ca.pem"), authority, 0o644)
	write(tb, filepath.Join(dir, "ledger-ca.key"), authorityKey, 0o600)
	write(tb, filepath.Join(dir, "postgres.keytab"), keytab("CORP.EXAMPLE.COM", "postgres", 18), 0o600)
	write(tb, filepath.Join(dir, "http.keytab"), keytab("CORP.EXAMPLE.COM", "http", 18), 0o600)
	write(tb, filepath.Join(dir, "rc4.keytab"), keytab("CORP.EXAMPLE.COM", "postgres", 23), 0o600)
	write(tb, filepath.Join(dir, "journal.key"), signingKeyPEM(tb), 0o600)
	tb.Setenv("MIGRATE_ORDERS_PASSWORD", "migrate-secret")
	return dir
}

// keytab makes a keytab of one key, version 7 (MIT's keytab file format, version
// 2).
func keytab(realm, service string, kind uint16) string {
	b := binary.BigEndian.AppendUint16(nil, 2)
	for _, s := range []string{realm, service, "proxy.corp.example.com"} {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 1, 7) // name type, time, version
	b = binary.BigEndian.AppendUint16(b, kind)
	size := map[uint16]int{18: 32, 23: 16}[kind]
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = append(b, make([]byte, size)...)
	return "\x05\x02" + string(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) + string(b)
}

func write(tb testing.TB, name, content string, mode os.FileMode) {
	tb.Helper()
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		tb.Fatal(err)
	}
}

// pair makes a self-signed certificate and its key, in PEM.
func pair(tb testing.TB) (certificate, key string) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "proxy"}, DNSNames: []string{"proxy"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		tb.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// revocations makes a list of an authority's, in which nothing was revoked.
func revocations(tb testing.TB, certificate, key string) string {
	tb.Helper()
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		tb.Fatal(err)
	}
	signer, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		tb.Fatalf("a key of type %T", pair.PrivateKey)
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
	}, pair.Leaf, signer)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// signingKeyPEM makes a key that signs checkpoints.
func signingKeyPEM(tb testing.TB) string {
	tb.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// load writes a configuration into dir and loads it.
func load(tb testing.TB, dir, content string) (*Config, error) {
	tb.Helper()
	name := filepath.Join(dir, "pgcustos.yaml")
	write(tb, name, content, 0o644)
	return Load(name)
}

func mustLoad(tb testing.TB, dir, content string) *Config {
	tb.Helper()
	c, err := load(tb, dir, content)
	if err != nil {
		tb.Fatalf("Load:\n%v", err)
	}
	return c
}

func TestExampleLoads(t *testing.T) {
	dir := folder(t)
	c := mustLoad(t, dir, example(t))

	if c.Node != "proxy-1" || len(c.Digest) != 64 || c.Listen.Address != "0.0.0.0:6432" || c.Admin.Address != "127.0.0.1:9187" {
		t.Errorf("node %q, digest %q, listen %q, admin %q", c.Node, c.Digest, c.Listen.Address, c.Admin.Address)
	}
	server := c.Listen.Startup.TLS
	if server.MinVersion != tls.VersionTLS12 || !server.SessionTicketsDisabled || !slices.Equal(server.NextProtos, []string{"postgresql"}) || len(server.Certificates) != 1 {
		t.Errorf("TLS towards clients: %+v", server)
	}
	if got := c.Listen.MaxMessage; got != 1023<<20 {
		t.Errorf("max_message = %d", got)
	}
	if got := c.Directory.Services["svc-orders"].Owner; got != "alice@corp.example.com" {
		t.Errorf("owner of svc-orders = %q", got)
	}
	b := c.Backends[0]
	if b.TLS.InsecureSkipVerify || b.TLS.RootCAs == nil || b.TLS.MinVersion != tls.VersionTLS12 {
		t.Errorf("TLS towards the backend: %+v", b.TLS)
	}
	if !slices.Equal(b.Hosts, []backend.Host{{Host: "db1.corp.example.com", Port: 5432}}) {
		t.Errorf("hosts = %v", b.Hosts)
	}
	if want := filepath.Join("/var/lib/pgcustos/journal"); c.Journal.Path != want || c.Journal.Node != "proxy-1" {
		t.Errorf("journal = %+v", c.Journal)
	}
	if c.Parser != (statement.Options{Workers: 2, Timeout: time.Second, Wait: 2 * time.Second, MaxText: 4 << 20, CacheBytes: 64 << 20, Memory: 1 << 30}) {
		t.Errorf("parser = %+v", c.Parser)
	}
	if want := []string{"backend orders: no rule uses the credentials of role app_rw_orders"}; !slices.Equal(c.Warnings, want) {
		t.Errorf("warnings = %q", c.Warnings)
	}
}

func TestExampleRules(t *testing.T) {
	c := mustLoad(t, folder(t), example(t))
	if len(c.Rules) != 3 {
		t.Fatalf("%d rules", len(c.Rules))
	}
	m, r := c.Rules[0], c.Rules[1]
	if m.Name != "orders-migrations" || m.Grant.Role != "migrate_orders" || m.Grant.Limits.Connections != 2 || m.Grant.Durability != auth.DurableDisk || m.Grant.Record != (auth.Record{StatementText: auth.TextFull, Patterns: c.Patterns, Parameters: auth.RecordFull, Copy: auth.RecordDigest}) || c.Patterns.String() != `card: "\\b[0-9]{4}([ -]?[0-9]{4}){3}\\b" by "<card>"` {
		t.Errorf("first rule: %+v", m)
	}
	if !m.Reason.MatchString("CHG-7") || m.Reason.MatchString("xCHG-7") || m.Reason.MatchString("CHG-7\nDROP") {
		t.Errorf("the pattern %s is not anchored", m.Reason)
	}
	if r.Grant.Classes != statement.Read|statement.Misc|statement.MiscSet || r.Grant.Tags != 0 || r.Grant.Mode != auth.Enforce {
		t.Errorf("second rule: %+v", r)
	}
	if !slices.Equal(r.Sources, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}) || r.Justification == "" {
		t.Errorf("sources %v, justification %q", r.Sources, r.Justification)
	}
	if got := texts(r.Grant.Objects); !slices.Equal(got, []string{"public.*", "pg_catalog.*", "information_schema.*"}) {
		t.Errorf("objects = %v", got)
	}
	if got := texts(c.Rules[0].Grant.DeniedCommands); !slices.Equal(got, []string{"DROP DATABASE", "ALTER SYSTEM*"}) {
		t.Errorf("denied commands = %v", got)
	}
	if got := texts(r.Grant.DeniedObjects); !slices.Equal(got, []string{"private.*", "public.salaries"}) {
		t.Errorf("objects = %v", got)
	}
}

func TestSecretsAreReadAtEachUse(t *testing.T) {
	dir := folder(t)
	c := mustLoad(t, dir, example(t))
	tests := []struct {
		name string
		read func() (*auth.Secret, error)
		want string
	}{
		{"bind", c.Directory.Domains[0].BindPassword, "bind-secret"},
		{"file", c.Backends[0].Credentials["app_ro_orders"].(backend.Password), "ro-secret"},
		{"file without newline", c.Backends[0].Credentials["app_rw_orders"].(backend.Password), "rw-secret"},
		{"environment", c.Backends[0].Credentials["migrate_orders"].(backend.Password), "migrate-secret"},
	}
	for _, tt := range tests {
		s, err := tt.read()
		if err != nil || s.Reveal() != tt.want {
			t.Errorf("%s: wrong secret or error %v", tt.name, err)
		}
	}
	write(t, filepath.Join(dir, "bind.password"), "rotated\n", 0o600)
	if s, err := c.Directory.Domains[0].BindPassword(); err != nil || s.Reveal() != "rotated" {
		t.Errorf("a rotated password is not read: %v", err)
	}
}

func TestDefaults(t *testing.T) {
	dir := folder(t)
	c := mustLoad(t, dir, `
node: n
listen: {address: "127.0.0.1:0", tls: {certificate: server.crt, key: server.key}}
directory: {domain: Corp.Example.com, controllers: ["ldaps://dc1.corp.example.com"], ca: corp-ca.pem, bind_name: svc@corp.example.com, bind_password_file: bind.password}
backends:
- {name: a, hosts: [/run/postgresql], tier: 2, credentials: {r: {password_file: app_ro_orders.password}}}
- {name: b, hosts: ["[::1]:5433", db, "10.0.0.1"], tls: {ca: db-ca.pem}, tier: 0, credentials: {r: {password_file: app_ro_orders.password}}}
rules:
- &first
  name: ra
  groups: &people [G]
  databases: ["*"]
  sources: [10.1.0.0/16]
  grant: {backend: a, role: r, classes: [READ]}
- {name: rb, groups: *people, databases: [d], sources: ["2001:db8::/48"], grant: {backend: b, role: r, classes: [read, WRITE]}}
journal: {path: journal}
`)
	if d := c.Directory.Domains[0]; d.NetBIOS != "CORP" || d.Domain != "corp.example.com" || d.Controllers[0] != "ldaps://dc1.corp.example.com:636" || d.Timeout != 5*time.Second {
		t.Errorf("directory = %+v", d)
	}
	if c.Journal.Path != filepath.Join(dir, "journal") {
		t.Errorf("journal path = %s", c.Journal.Path)
	}
	if c.Backends[0].TLS != nil || c.Backends[0].Hosts[0] != (backend.Host{Host: "/run/postgresql", Port: 5432}) {
		t.Errorf("socket backend = %+v", c.Backends[0])
	}
	if want := []backend.Host{{Host: "::1", Port: 5433}, {Host: "db", Port: 5432}, {Host: "10.0.0.1", Port: 5432}}; !slices.Equal(c.Backends[1].Hosts, want) {
		t.Errorf("hosts = %v", c.Backends[1].Hosts)
	}
	if c.Rules[1].Grant.Record != (auth.Record{StatementText: auth.TextFull, Parameters: auth.RecordNone, Copy: auth.RecordNone}) {
		t.Errorf("nothing is to be recorded: %+v", c.Rules[1].Grant.Record)
	}
	if c.Rules[0].Grant.Durability != auth.DurableProcess || c.Rules[1].Grant.Durability != auth.DurableDisk {
		t.Errorf("durability by tier: %s, %s", c.Rules[0].Grant.Durability, c.Rules[1].Grant.Durability)
	}
	if c.Rules[1].Groups[0] != "G" || c.Rules[1].Grant.Classes != statement.Read|statement.Write {
		t.Errorf("second rule = %+v", c.Rules[1])
	}
	if c.Admin.Address != "" || c.Directory.Recheck != time.Minute || c.Listen.Startup.PendingPerSource != 50 {
		t.Errorf("defaults: admin %q recheck %s per source %d", c.Admin.Address, c.Directory.Recheck, c.Listen.Startup.PendingPerSource)
	}
}

// TestJournalPath: an auditor needs neither the secrets nor a sound file.
func TestJournalPath(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pgcustos.yaml")
	write(t, name, example(t), 0o644)
	if got, err := JournalPath(name); err != nil || got != "/var/lib/pgcustos/journal" {
		t.Errorf("%q, %v", got, err)
	}
	write(t, name, "journal: {path: j}\nnonsense: 1", 0o644)
	if got, err := JournalPath(name); err != nil || got != filepath.Join(filepath.Dir(name), "j") {
		t.Errorf("%q, %v", got, err)
	}
	write(t, name, "journal: 7", 0o644)
	if got, err := JournalPath(name); err == nil {
		t.Errorf("%q of a file that names none", got)
	}
}

// TestByteOrderMark: editors that write one before UTF-8 break nothing.
func TestByteOrderMark(t *testing.T) {
	text := example(t)
	dir := folder(t)
	marked := mustLoad(t, dir, "\ufeff"+text)
	if plain := mustLoad(t, dir, text); marked.Node != plain.Node || marked.Digest == plain.Digest {
		t.Errorf("node %q, digests %s and %s", marked.Node, marked.Digest, plain.Digest)
	}
}

// TestManyRules: a configuration of 10,000 rules loads in seconds, so that a
// reload does not keep anybody waiting.
func TestManyRules(t *testing.T) {
	dir := folder(t)
	head, rest, _ := strings.Cut(example(t), "\nrules:")
	_, tail, _ := strings.Cut(rest, "\njournal:")
	var b strings.Builder
	b.WriteString(head + "\nrules:\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "  - name: rule-%d\n    groups: [Group-%d]\n    databases: [orders]\n    sources: [10.20.0.0/16]\n    grant: {backend: orders, role: app_ro_orders, classes: [READ]}\n", i, i)
	}
	b.WriteString("journal:" + tail)
	start := time.Now()
	c := mustLoad(t, dir, b.String())
	if took := time.Since(start); len(c.Rules) != 10_000 || took > time.Minute {
		t.Errorf("%d rules in %s", len(c.Rules), took)
	}
	if d := Diff(c, c); d != "" {
		t.Errorf("a difference to itself: %s", d)
	}
}
