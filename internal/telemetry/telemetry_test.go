package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestNames: every metric of ours has the prefix, a help text, and the suffix
// that Prometheus' conventions ask for.
func TestNames(t *testing.T) {
	m := New()
	one := func() float64 { return 1 }
	m.Parser(ParserStats{Hits: one, Masked: one, Misses: one, Deaths: one, CacheBytes: one, Waiting: one})
	m.GaugeFunc("pgcustos_test_bytes", "A gauge.", one)
	m.SetConfig("abc")
	m.Authentications.WithLabelValues("failure", "wrong_password").Inc()
	m.RelayedBytes.WithLabelValues("to_client").Add(5)
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, f := range families {
		name := f.GetName()
		if strings.HasPrefix(name, "pgcustos_") {
			ours++
		} else if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s has a strange prefix", name)
		}
	}
	if ours < 10 {
		t.Errorf("only %d metrics of ours", ours)
	}
}

func TestSetConfigKeepsOneHash(t *testing.T) {
	m := New()
	m.SetConfig("first")
	m.SetConfig("second")
	if n := testutil.CollectAndCount(m.ConfigInfo); n != 1 || testutil.ToFloat64(m.ConfigInfo.WithLabelValues("second")) != 1 {
		t.Errorf("%d configurations are said to run", n)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestAdminServer(t *testing.T) {
	m := New()
	m.SetConfig("abc")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var broken atomic.Bool
	ready := func() error {
		if broken.Load() {
			return errors.New("dc1.internal does not answer")
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l, ready, quiet()) }()
	base := "http://" + l.Addr().String()

	if status, body := get(t, base+"/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", status, body)
	}
	if status, body := get(t, base+"/readyz"); status != 200 || body != "ready\n" {
		t.Errorf("readyz: %d %q", status, body)
	}
	broken.Store(true)
	if status, body := get(t, base+"/readyz"); status != 503 || strings.Contains(body, "dc1") {
		t.Errorf("readyz while broken: %d %q", status, body)
	}
	if status, _ := get(t, base+"/healthz"); status != 200 {
		t.Errorf("healthz while not ready: %d", status)
	}
	if status, body := get(t, base+"/metrics"); status != 200 || !strings.Contains(body, `pgcustos_config_info{hash="abc"} 1`) {
		t.Errorf("metrics: %d %s", status, body)
	}
	if status, _ := get(t, base+"/debug/pprof/"); status != 404 {
		t.Errorf("something else is served: %d", status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	var level slog.LevelVar
	log := NewLogger(&b, "json", &level)
	log.Debug("hidden")
	log.Info("shown", "incident", "i\n1")
	level.Set(slog.LevelDebug)
	log.Debug("shown too")
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("logged %q", b.String())
	}
	var record map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &record); err != nil || record["incident"] != "i\n1" {
		t.Errorf("%v: %s", err, lines[0])
	}
	b.Reset()
	NewLogger(&b, "text", slog.LevelInfo).Info("m", "k", "v")
	if !strings.Contains(b.String(), "msg=m k=v") {
		t.Errorf("text: %s", b.String())
	}
}

// TestLinesLeftOut: strangers cannot fill the disk by way of the log, and what was left
// out is told. What is for debugging, and other messages, are none of it.
func TestLinesLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := NewLogger(&b, "text", slog.LevelDebug).With("node", "a")
		many := 5 * linesOfEach
		for range many {
			log.Info("log-in refused", "user", "x")
			log.Debug("detail")
		}
		log.WithGroup("g").Info("log-in refused")
		log.Info("another message")
		time.Sleep(linesWhile)
		synctest.Wait()
		log.Info("log-in refused", "user", "later")
		time.Sleep(linesWhile)
		text := b.String()
		for what, want := range map[string]int{
			"msg=\"log-in refused\"": linesOfEach + 1, "msg=detail": many, "msg=\"another message\"": 1, "user=later": 1,
			fmt.Sprintf("message=\"log-in refused\" lines=%d", many+1-linesOfEach): 1, "left out": 1,
		} {
			if got := strings.Count(text, what); got != want {
				t.Errorf("%s: %d lines, want %d", what, got, want)
			}
		}
	})
}
