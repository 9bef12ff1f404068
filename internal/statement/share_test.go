//go:build linux

package statement_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// count answers each text with how many were asked before it, and itself.
func count() int {
	n := 0
	err := statement.Serve(os.Stdin, os.Stdout, 1<<20, func(string) *statement.Judgement {
		n++
		return &statement.Judgement{
			Form:       statement.Redacted,
			Statements: []statement.Statement{{Command: strconv.Itoa(n), Class: statement.Misc}},
		}
	})
	if err != nil {
		return 5
	}
	return 0
}

func signal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// halt stops a process, and waits until each of its threads stands.
func halt(t *testing.T, pid int) {
	t.Helper()
	signal(t, pid, syscall.SIGSTOP)
	until(t, func() bool {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(tasks) == 0 {
			t.Fatal("no threads", err)
		}
		for _, task := range tasks {
			stat, err := os.ReadFile(task)
			if err != nil || !bytes.Contains(stat, []byte(") T ")) {
				return false
			}
		}
		return true
	})
}

// patient are options under which only a hanging test runs into a bound.
var patient = statement.Options{Workers: 1, Timeout: 5 * time.Minute, Wait: 5 * time.Minute}

// Whoever floods the line waits behind his own texts: another principal's text is
// the next but one.
func TestFlood(t *testing.T) {
	r, _ := open(t, patient, asCounting)
	pid := workers(t)[0]
	halt(t, pid) // one text is with the worker, the others wait
	const flood = 40
	floods := make(chan *statement.Judgement, flood)
	flooder := statement.For(r, "flooder")
	for i := range flood {
		go func() {
			floods <- flooder.Judge(context.Background(), fmt.Appendf(nil, "SELECT %d", i), statement.UTF8)
		}()
	}
	until(t, func() bool { return r.Stats().Waiting == flood-1 })
	victim := make(chan *statement.Judgement, 1)
	go func() {
		victim <- statement.For(r, "victim").Judge(context.Background(), []byte("SELECT 1"), statement.UTF8)
	}()
	until(t, func() bool { return r.Stats().Waiting == flood })
	signal(t, pid, syscall.SIGCONT)
	j := <-victim
	if got, err := strconv.Atoi(j.Statements[0].Command); err != nil || got > 3 {
		t.Errorf("the victim's text was the %s. of %d: %v", j.Statements[0].Command, flood+1, err)
	}
	for range flood {
		if j := <-floods; j.Cause != "" {
			t.Errorf("cause %q", j.Cause)
		}
	}
}

// Waiting has a bound of its own, and costs neither the worker nor who has it.
func TestWaitIsBounded(t *testing.T) {
	opts := patient
	opts.Wait = 50 * time.Millisecond
	r, _ := open(t, opts, asCounting)
	pid := workers(t)[0]
	halt(t, pid)
	first := make(chan *statement.Judgement, 1)
	go func() { first <- r.Judge(context.Background(), []byte("SELECT 1"), statement.UTF8) }()
	// Whichever of these two has the worker, the other one is sent away.
	second := make(chan *statement.Judgement, 1)
	go func() { second <- r.Judge(context.Background(), []byte("SELECT 2"), statement.UTF8) }()
	with := second
	select {
	case j := <-first:
		wantCause(t, j, statement.CauseTimeout)
	case j := <-second:
		wantCause(t, j, statement.CauseTimeout)
		with = first
	}
	signal(t, pid, syscall.SIGCONT)
	wantCause(t, <-with, statement.CauseNone)
	if s := r.Stats(); s.Deaths != 0 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// A text that a worker had not read when it died is read by the next one.
func TestWorkerKilledBeforeItRead(t *testing.T) {
	r, deaths := open(t, patient, asWorker)
	judge(t, r, "SELECT 1") // a worker that was asked is replaced at once
	for range 5 {
		pid := workers(t)[0]
		halt(t, pid)
		answer := make(chan *statement.Judgement, 1)
		go func() { answer <- r.Judge(context.Background(), []byte("SELECT 1"), statement.UTF8) }()
		signal(t, pid, syscall.SIGKILL)
		wantCause(t, <-answer, statement.CauseNone)
		awaitDeath(t, deaths)
	}
}
