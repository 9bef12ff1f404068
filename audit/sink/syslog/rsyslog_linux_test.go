package syslog_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink"
	"github.com/pgcustos/pgcustos/audit/sink/otlp"
	"github.com/pgcustos/pgcustos/audit/sink/syslog"
	"github.com/pgcustos/pgcustos/audit/view"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rsyslog is Debian's, run by the test.
type rsyslog struct {
	dir  string
	port uint16
	cmd  *exec.Cmd
}

const rsyslogConfig = `global(workDirectory="%[1]s" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="on"
  DefaultNetstreamDriver="gtls" DefaultNetstreamDriverCAFile="%[1]s/ca.crt"
  DefaultNetstreamDriverCertFile="%[1]s/server.crt" DefaultNetstreamDriverKeyFile="%[1]s/server.key")
module(load="imtcp" %[2]s)
template(name="line" type="string" string="%%pri%% %%hostname%% %%app-name%% %%msgid%% %%structured-data%%\t%%msg%%\n")
action(type="omfile" file="%[1]s/out" template="line")
input(type="imtcp" address="127.0.0.1" port="%[3]d")
`

const withTLS = `StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"`

func newRsyslog(t *testing.T, ca *testkit.CA, driver string) *rsyslog {
	t.Helper()
	r := &rsyslog{dir: t.TempDir()}
	leaf, err := ca.Issue(testkit.Leaf{CommonName: "siem", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Write(r.dir, "ca"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := leaf.Write(r.dir, "server"); err != nil {
		t.Fatal(err)
	}
	if r.port, err = testkit.FreePort(); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(rsyslogConfig, r.dir, driver, r.port)
	if err := os.WriteFile(filepath.Join(r.dir, "rsyslog.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	t.Cleanup(r.stop)
	return r
}

func (r *rsyslog) start(t *testing.T) {
	t.Helper()
	const program = "/usr/sbin/rsyslogd"
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: install the packages rsyslog and rsyslog-gnutls (internal/testkit/install.sh does)", err)
	}
	var log bytes.Buffer
	r.cmd = exec.Command(program, "-n", "-C", "-f", filepath.Join(r.dir, "rsyslog.conf"), "-i", filepath.Join(r.dir, "pid"))
	r.cmd.Stdout, r.cmd.Stderr = &log, &log
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := testkit.WaitFor(ctx, func() error {
		if testkit.PortFree(r.port) == nil {
			return fmt.Errorf("rsyslog does not listen")
		}
		return nil
	}); err != nil {
		r.stop()
		t.Fatalf("%v\n%s", err, log.String())
	}
}

// stop ends it in order: what it has received, it writes.
func (r *rsyslog) stop() {
	if r.cmd != nil {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

var line = regexp.MustCompile(`^(\d+) proxy-1 pgcustos (\S+) \[pgcustos@32473 stream="([^"]+)" sequence="(\d+)"((?: [a-z]+="(?:[^"\\\]]|\\.)*")*)\]\t(.*)$`)

// received reads what rsyslog has written: by stream and sequence, the lines.
func (r *rsyslog) received(t testing.TB) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "out"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, l := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		if strings.Contains(l, " rsyslogd") || l == "" {
			continue // its own messages
		}
		m := line.FindStringSubmatch(l)
		if m == nil {
			continue // being written
		}
		key := m[3] + " " + m[4]
		out[key] = append(out[key], l)
	}
	return out
}

func (r *rsyslog) options(ca *testkit.CA) syslog.Options {
	return syslog.Options{
		Address: fmt.Sprintf("127.0.0.1:%d", r.port), TLS: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12},
		ConnectTimeout: 5 * time.Second, Facility: 13, Hostname: "proxy-1", MaxMessage: 32 << 10,
	}
}

func newCA(t *testing.T) *testkit.CA {
	t.Helper()
	ca, err := testkit.NewCA("syslog test CA")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func openJournal(t *testing.T) (*journal.Journal, string) {
	t.Helper()
	dir := t.TempDir()
	j, err := journal.Open(journal.Options{Path: dir, Node: "proxy-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j, dir
}

func record(t *testing.T, j *journal.Journal, e *audit.Event) audit.Receipt {
	t.Helper()
	r, err := j.Record(e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func statementEvent(text string, d audit.Decision) *audit.Event {
	return &audit.Event{
		Type: audit.Statement, Text: text, Form: statement.Verbatim, Decision: d, Incident: `a"]\b`,
		Context: &audit.Context{
			Session:   "01JD8Z3V9M4Q7T2X5B6C8D9E0F",
			Principal: audit.Principal{Account: "alice", UPN: "alice@corp.example.com"},
			Role:      "ro]\n\x1b[2J\u202e\xff", Database: "orders",
		},
	}
}

func stop(r *sink.Runner) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r.Stop(ctx)
}

// waitAll waits until rsyslog has written every record up to the sequence.
func waitAll(t *testing.T, r *rsyslog, j *journal.Journal, last uint64) map[string][]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var got map[string][]string
	if err := testkit.WaitFor(ctx, func() error {
		got = r.received(t)
		for n := uint64(1); n <= last; n++ {
			if len(got[fmt.Sprintf("%s %d", j.Stream(), n)]) == 0 {
				return fmt.Errorf("record %d of %d is missing, %d are there", n, last, len(got))
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// hostile are texts that would act in a log.
var hostile = []string{
	"line\nanother <0>1 - - - - - - forged", "\r\n\x00\x1b]0;x\x07", "\xff\xfe", "\u202e\u2028\u0085", `"}],{"x":"`, "]\t[", "",
	strings.Repeat("é\n", 40<<10),
}

func TestRsyslog(t *testing.T) {
	ca := newCA(t)
	for name, driver := range map[string]string{"TLS": withTLS, "loopback": ""} {
		t.Run(name, func(t *testing.T) {
			server := newRsyslog(t, ca, driver)
			o := server.options(ca)
			if name == "loopback" {
				o.TLS = nil
			}
			j, dir := openJournal(t)
			var last uint64
			var sent []uint64 // of the hostile records
			for _, text := range hostile {
				last = record(t, j, statementEvent(text, audit.Denied)).Sequence
				sent = append(sent, last)
			}
			for i := range 3000 {
				last = record(t, j, statementEvent(fmt.Sprintf("SELECT %d", i), audit.Allowed)).Sequence
			}
			stop(sink.Start(sink.Options{Name: "siem", Sink: syslog.New(o), Journal: dir}))
			got := waitAll(t, server, j, last)
			for key, lines := range got {
				if len(lines) != 1 {
					t.Errorf("%s came %d times", key, len(lines))
				}
			}
			check(t, got, j.Stream(), sent)
		})
	}
}

// Each format passes a real server whole: what acts is spelt out, what is too long is
// cut so that JSON remains.
func TestRsyslogFormats(t *testing.T) {
	ca := newCA(t)
	for name, c := range map[string]struct {
		line sink.Line
		has  string
	}{"ocsf": {view.OCSFLine, "class_uid"}, "semconv": {otlp.SemconvLine, "attributes"}} {
		t.Run(name, func(t *testing.T) {
			server := newRsyslog(t, ca, withTLS)
			o := server.options(ca)
			o.Line = c.line
			j, dir := openJournal(t)
			var last uint64
			for _, text := range hostile {
				last = record(t, j, statementEvent(text, audit.Denied)).Sequence
			}
			stop(sink.Start(sink.Options{Name: "siem", Sink: syslog.New(o), Journal: dir}))
			for key, lines := range waitAll(t, server, j, last) {
				m := line.FindStringSubmatch(lines[0])
				var body map[string]any
				if err := json.Unmarshal([]byte(m[len(m)-1]), &body); err != nil || body[c.has] == nil || strings.IndexFunc(m[len(m)-1], journal.Acts) >= 0 {
					t.Errorf("%s: %.300q, %v", key, lines[0], err)
				}
			}
		})
	}
}

// check looks at the lines of the hostile records.
func check(t *testing.T, got map[string][]string, stream string, sent []uint64) {
	t.Helper()
	for i, sequence := range sent {
		l := got[fmt.Sprintf("%s %d", stream, sequence)][0]
		m := line.FindStringSubmatch(l)
		var body struct {
			Text      string
			Truncated bool
			Length    int `json:"text_length"`
		}
		if err := json.Unmarshal([]byte(m[6]), &body); err != nil {
			t.Errorf("record %d: %v: %.200s", i, err, l)
			continue
		}
		want := strings.ToValidUTF8(hostile[i], "\uFFFD")
		if len(hostile[i]) > 32<<10 {
			if !body.Truncated || body.Length != len(hostile[i]) || !strings.HasPrefix(want, body.Text) || len(l) > 33<<10 {
				t.Errorf("a large text: %v, %d, %d bytes of text, %d in all", body.Truncated, body.Length, len(body.Text), len(l))
			}
		} else if body.Text != want {
			t.Errorf("record %d: %q, want %q", i, body.Text, want)
		}
		if m[1] != "108" || m[2] != "statement" { // 13 * 8 + warning
			t.Errorf("record %d: priority %s, type %s", i, m[1], m[2])
		}
		if sd := m[5]; !strings.Contains(sd, ` principal="alice@corp.example.com"`) || !strings.Contains(sd, ` decision="denied"`) ||
			!strings.Contains(sd, ` incident="a\"\]\\b"`) || strings.ContainsFunc(sd, journal.Acts) {
			t.Errorf("record %d: structured data %s", i, sd)
		}
	}
}

// TestServerThatComesAndGoes ends and starts rsyslog under load.
func TestServerThatComesAndGoes(t *testing.T) {
	ca := newCA(t)
	server := newRsyslog(t, ca, withTLS)
	j, dir := openJournal(t)
	r := sink.Start(sink.Options{Name: "siem", Sink: syslog.New(server.options(ca)), Journal: dir})
	defer stop(r)
	var last uint64
	for round := range 3 {
		for i := range 500 {
			last = record(t, j, statementEvent(fmt.Sprintf("SELECT %d, %d", round, i), audit.Allowed)).Sequence
		}
		if round == 0 {
			waitAll(t, server, j, last)
		}
		server.stop()
		for i := range 500 {
			last = record(t, j, statementEvent(fmt.Sprintf("SELECT %d, %d", round, i), audit.Allowed)).Sequence
		}
		server.start(t)
	}
	waitAll(t, server, j, last)
}
