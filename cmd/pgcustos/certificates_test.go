package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// walk is a server whose certificates change under it, and a session from before all
// of that.
type walk struct {
	*server
	t              *testing.T
	site           *site
	address, admin string
	before         *pgx.Conn
}

// TestCertificatesReload replaces each certificate on the disk, and reloads: new
// connections see the new one, what cannot be used changes nothing, what ends is told,
// and a session from before goes on.
func TestCertificatesReload(t *testing.T) {
	w := &walk{t: t, site: newSite(t)}
	people := w.authority("people")
	pg := testkit.SharedPostgres(t)
	w.site.file(t, "backend-ca.pem", string(pg.CA.PEM))
	w.site.text = strings.Replace(w.site.text, pg.CAFile, "backend-ca.pem", 1) + `admin: {address: 127.0.0.1:0}
client_certificates: {ca: people.pem, crl: people.crl}
`
	w.publish(people, time.Now().Add(24*time.Hour))
	w.site.write(t)
	w.server = startServer(t, w.site.config)
	w.admin = "http://" + w.waitFor(t, "admin server")["address"].(string)
	w.address = w.waitFor(t, "serving")["address"].(string)
	w.before = w.enter()

	w.listener()
	w.backend()
	w.clients(people)

	if _, err := w.before.Exec(t.Context(), "SELECT count(*) FROM orders"); err != nil {
		t.Errorf("the session from before: %v", err)
	}
	reloads := w.metrics()
	for _, want := range []string{`pgcustos_reloads_total{result="failure"} 3`, `pgcustos_reloads_total{result="success"} 8`} {
		if !strings.Contains(reloads, want) {
			t.Errorf("there is no %s", want)
		}
	}
}

// listener changes the proxy's own certificate.
func (w *walk) listener() {
	ca := w.authority("new")
	first := w.shown()
	w.serve(w.issue(ca, time.Now().AddDate(1, 0, 0)))
	w.reload()
	second := w.shown()
	if second == first {
		w.t.Error("the old certificate is shown")
	}

	// A certificate without its key, a key that others may read, and none at all.
	key := filepath.Join(w.site.dir, "server.key")
	kept, err := os.ReadFile(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.site.file(w.t, "server.key", string(w.issue(ca, time.Now().AddDate(1, 0, 0)).KeyPEM))
	w.refuse("server.crt and its key cannot be used")
	w.site.file(w.t, "server.key", string(kept))
	if err := os.Chmod(key, 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.refuse("server.key")
	if err := os.Chmod(key, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.site.file(w.t, "server.crt", "no certificate")
	w.refuse("server.crt and its key cannot be used")
	if w.shown() != second {
		w.t.Error("another certificate is shown after a reload that was refused")
	}

	soon, past := time.Now().AddDate(0, 0, 7), time.Now().Add(-time.Hour)
	w.serve(w.issue(ca, soon))
	w.reload()
	w.warned("the certificate of listen ends on "+soon.UTC().Format(time.DateOnly), "listen", soon)
	w.serve(w.issue(ca, past))
	w.reload()
	w.warned("the certificate of listen ended on "+past.UTC().Format(time.DateOnly), "listen", past)
	w.serve(w.issue(ca, time.Now().AddDate(1, 0, 0)))
	w.reload()
	w.warned("", "", time.Time{})
}

// backend changes the authority that the backend's certificate is verified by.
func (w *walk) backend() {
	right := testkit.SharedPostgres(w.t).CA
	other := w.authority("another server's")
	w.site.file(w.t, "backend-ca.pem", string(other.PEM))
	w.reload()
	if conn, err := connectAlice(w.t, w.address); err == nil {
		_ = conn.Close(context.Background())
		w.t.Error("a backend is trusted that another authority signed")
	} else if !strings.Contains(err.Error(), "08006") {
		w.t.Errorf("a new session: %v", err)
	}
	w.site.file(w.t, "backend-ca.pem", string(right.PEM))
	w.reload()
	_ = w.enter().Close(context.Background())
	if want := fmt.Sprintf(`pgcustos_certificate_expiry_timestamp_seconds{certificate="backend-ca.pem"} %v`, float64(right.Cert.NotAfter.Unix())); !strings.Contains(w.metrics(), want) {
		w.t.Errorf("there is no %s", want)
	}
}

// clients changes the authority of people's certificates, and its list.
func (w *walk) clients(old *testkit.CA) {
	fresh := w.authority("people again")
	leaf := testkit.Leaf{CommonName: "alice", UPN: "alice@" + testkit.Domain}
	if err := w.enterBy(old, leaf); err != nil {
		w.t.Errorf("by a certificate: %v", err)
	}
	w.publish(fresh, time.Now().Add(24*time.Hour))
	w.reload()
	if err := w.enterBy(old, leaf); err == nil {
		w.t.Error("a certificate of the authority from before is taken")
	}
	if err := w.enterBy(fresh, leaf); err != nil {
		w.t.Errorf("by a certificate of the new authority: %v", err)
	}
	w.warned("", "", time.Time{})

	past := time.Now().Add(-time.Minute)
	w.publish(fresh, past)
	w.reload()
	if err := w.enterBy(fresh, leaf); err == nil {
		w.t.Error("a certificate is taken of whose revocation nothing is known")
	}
	w.warned("the revocation list of CN=people again ended on "+past.UTC().Format(time.DateOnly), "revocation list of CN=people again", past)
}

func (w *walk) authority(name string) *testkit.CA {
	w.t.Helper()
	ca, err := testkit.NewCA(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return ca
}

func (w *walk) issue(ca *testkit.CA, end time.Time) *testkit.Certificate {
	w.t.Helper()
	c, err := ca.Issue(testkit.Leaf{CommonName: "proxy", Names: []string{"localhost"}, NotAfter: end})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// serve puts the proxy's certificate and key on the disk.
func (w *walk) serve(c *testkit.Certificate) {
	w.t.Helper()
	if _, _, err := c.Write(w.site.dir, "server"); err != nil {
		w.t.Fatal(err)
	}
}

// publish puts an authority of people's and its list on the disk.
func (w *walk) publish(ca *testkit.CA, next time.Time) {
	w.t.Helper()
	list, err := ca.Revoke(next)
	if err != nil {
		w.t.Fatal(err)
	}
	w.site.file(w.t, "people.pem", string(ca.PEM))
	w.site.file(w.t, "people.crl", string(list))
}

func (w *walk) reload() {
	w.t.Helper()
	w.signal(w.t, syscall.SIGHUP)
	w.waitFor(w.t, "configuration reloaded")
}

func (w *walk) refuse(why string) {
	w.t.Helper()
	w.signal(w.t, syscall.SIGHUP)
	line := w.waitFor(w.t, "the configuration was not reloaded, the old one stays in force")
	if !strings.Contains(fmt.Sprint(line["error"]), why) {
		w.t.Errorf("logged %v, want %q", line, why)
	}
}

// shown returns the serial number of the certificate that a new connection sees.
func (w *walk) shown() string {
	w.t.Helper()
	conn, err := new(net.Dialer).DialContext(w.t.Context(), "tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()                                                        //nolint:errcheck // nothing was said
	if _, err := conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil { // SSLRequest
		w.t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		w.t.Fatal(err)
	}
	client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // what is shown is looked at
	if err := client.HandshakeContext(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return client.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func (w *walk) metrics() string {
	w.t.Helper()
	_, body := status(w.t, w.admin+"/metrics")
	return body
}

// warned expects the readiness's warning, and when the metric says the certificate ends;
// "" for no warning.
func (w *walk) warned(warning, certificate string, end time.Time) {
	w.t.Helper()
	want := "ready\n"
	if warning != "" {
		want += "warning: " + warning + "\n"
	}
	if code, body := status(w.t, w.admin+"/readyz"); code != http.StatusOK || body != want {
		w.t.Errorf("ready: %d %q, want %q", code, body, want)
	}
	if line := fmt.Sprintf(`pgcustos_certificate_expiry_timestamp_seconds{certificate=%q} %v`, certificate, float64(end.Unix())); warning != "" && !strings.Contains(w.metrics(), line) {
		w.t.Errorf("there is no %s", line)
	}
}

func (w *walk) enter() *pgx.Conn {
	w.t.Helper()
	conn, err := connectAlice(w.t, w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// enterBy logs in with a certificate alone.
func (w *walk) enterBy(ca *testkit.CA, leaf testkit.Leaf) error {
	w.t.Helper()
	c, err := ca.Issue(leaf)
	if err != nil {
		w.t.Fatal(err)
	}
	config, err := pgx.ParseConfig(fmt.Sprintf("postgres://alice@%s/orders?sslmode=require", w.address))
	if err != nil {
		w.t.Fatal(err)
	}
	config.TLSConfig.Certificates = []tls.Certificate{c.TLS}
	conn, err := pgx.ConnectConfig(w.t.Context(), config)
	if err != nil {
		return err
	}
	return conn.Close(w.t.Context())
}
