package secrets

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestSecrets: no class of secret is in any output; what may be seen is in each, so
// that no output is looked for in vain.
func TestSecrets(t *testing.T) {
	p := newPlace(t)
	g := &garden{hidden: map[string]string{}, shown: map[string]string{}}
	for _, mode := range modes {
		g.sow(t, p, mode)
	}
	g.logIns(t, p)
	p.awaitEnd(t)
	core(t, p)
	outputs := p.outputs(t)
	outputs["spool"] = output{text: p.spooled(t, g)}
	for name, o := range outputs {
		for secret, class := range g.hidden {
			if i := index(o.text, secret); i >= 0 {
				t.Errorf("%s: %s: …%q…", name, class, o.text[max(0, i-200):min(len(o.text), i+80)])
			}
		}
		for _, want := range o.shows {
			if !bytes.Contains(o.text, []byte(want)) {
				t.Errorf("%s, of %d bytes, does not show %s: nothing can be said of it", name, len(o.text), want)
			}
		}
	}
	for name, o := range outputs {
		if !o.texts {
			continue
		}
		missing := map[string]bool{}
		for secret, class := range g.shown {
			if !bytes.Contains(o.text, []byte(secret)) {
				missing[class] = true
			}
		}
		// Long ones are cut by sinks that have a bound.
		if n := len(g.shown); len(missing) > n/4 {
			t.Errorf("%s lacks what rules let it have: %v", name, missing)
		}
	}
}

// index finds a secret as it is, in hexadecimal or in base64.
func index(text []byte, secret string) int {
	forms := []string{secret, hex.EncodeToString([]byte(secret))}
	if strings.Contains(secret, "\x00") || len(secret) > 40 {
		forms = append(forms, base64.StdEncoding.EncodeToString([]byte(secret))[:40])
	}
	for _, form := range forms {
		if i := bytes.Index(text, []byte(form)); i >= 0 {
			return i
		}
	}
	return -1
}

// output is one thing that the proxy puts out.
type output struct {
	text  []byte
	shows []string // what it has to show
	texts bool     // it has the texts of statements
}

func (p *place) outputs(t *testing.T) map[string]output {
	t.Helper()
	databases := []string{database("full"), database("masked"), database("none")}
	all := map[string]output{
		"journal":    {p.journal(t), databases, true},
		"log":        {p.file(t, p.LogFile()), databases, true},
		"metrics":    {p.metrics(t), []string{marker + "collector"}, false},
		"otlp logs":  {p.logs.bytes(), databases, true},
		"spans":      {p.spans.bytes(), databases, false},
		"postgres":   {p.events(t), databases, true},
		"audit cat":  {p.audit(t, "cat"), databases, true},
		"audit view": {p.audit(t, "query"), []string{"the_end_full"}, true},
	}
	for format, r := range p.syslog {
		all["syslog, "+format] = output{r.bytes(), databases, true}
	}
	for _, format := range []string{"jsonl", "csv", "ocsf"} {
		all["audit query, "+format] = output{p.audit(t, "query", "--format", format), databases, true}
	}
	for _, format := range []string{"md", "html"} {
		all["audit report, "+format] = output{p.audit(t, "report", "--format", format), []string{"svc-orders"}, false}
	}
	for _, mode := range modes {
		start := p.Await(t, "a session", func(r *journal.Record) bool { return r.Type == audit.SessionStart && r.Database == database(mode) })
		all["audit session, "+mode] = output{p.audit(t, "session", start.Session), []string{database(mode)}, false}
	}
	p.process(t, all, p.ProxyPID(), "serve", environment)
	for _, pid := range p.workers(t) {
		p.process(t, all, pid, "parser-worker", statement.MemoryVariable+"=")
		if bytes.Contains(all[fmt.Sprintf("environment of process %d", pid)].text, []byte(environment)) {
			t.Errorf("worker %d has the proxy's environment", pid)
		}
	}
	return all
}

// environment is in the proxy's, so that what was read is known to be that.
const environment = "SEEN=" + marker + "environment"

// process adds what others may see of a process.
func (p *place) process(t *testing.T, all map[string]output, pid int, argument, variable string) {
	t.Helper()
	all[fmt.Sprintf("command line of process %d", pid)] = output{p.file(t, fmt.Sprintf("/proc/%d/cmdline", pid)), []string{argument}, false}
	all[fmt.Sprintf("environment of process %d", pid)] = output{p.file(t, fmt.Sprintf("/proc/%d/environ", pid)), []string{variable}, false}
}

func (p *place) file(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	return b
}

// journal is all that is in the journal's directory: segments, blobs, indexes, as
// they are and without their compression.
func (p *place) journal(t *testing.T) []byte {
	t.Helper()
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	var all []byte
	err = filepath.WalkDir(p.Journal, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a segment that was being made
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b := p.file(t, path)
		all = append(all, b...)
		if !strings.HasSuffix(path, ".zst") {
			return nil
		}
		plain, err := decoder.DecodeAll(b, nil)
		all = append(all, plain...)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

func (p *place) metrics(t *testing.T) []byte {
	t.Helper()
	var out strings.Builder
	if err := p.Get(t.Context(), "/metrics", &out); err != nil {
		t.Error(err)
	}
	return []byte(out.String())
}

// events is what the audit database has.
func (p *place) events(t *testing.T) []byte {
	t.Helper()
	rows, err := p.Postgres.Rows(t.Context(), testkit.AuditDatabase, "SELECT e::text, convert_from(coalesce(text_raw, ''), 'SQL_ASCII') FROM pgcustos.events e")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, row := range rows {
		all.WriteString(strings.Join(row, "\t") + "\n")
	}
	return []byte(all.String())
}

func (p *place) audit(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.Binary, append(append([]string{"audit"}, args...), "--journal", p.Journal)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("audit %s: %v: %s", args, err, stderr.Bytes())
	}
	return append(out, stderr.Bytes()...)
}

// awaitEnd waits until the last records are everywhere.
func (p *place) awaitEnd(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := testkit.WaitFor(ctx, func() error {
		all := map[string][]byte{"log": p.file(t, p.LogFile()), "otlp logs": p.logs.bytes(), "spans": p.spans.bytes()}
		for format, r := range p.syslog {
			all[format] = r.bytes()
		}
		for name, text := range all {
			for _, mode := range modes {
				if !bytes.Contains(text, []byte("the_end_"+mode)) {
					return fmt.Errorf("%s has not come to the end of %s", name, mode)
				}
			}
		}
		return p.AwaitDelivery(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// workers are the proxy's parser workers.
func (p *place) workers(t *testing.T) []int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "pgrep", "-P", fmt.Sprint(p.ProxyPID()), "-f", "parser-worker").Output()
	if err != nil {
		t.Fatalf("pgrep: %v", err)
	}
	var pids []int
	for _, field := range strings.Fields(string(out)) {
		var pid int
		if _, err := fmt.Sscan(field, &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
