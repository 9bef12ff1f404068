//go:build linux

package statement_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/internal/statement/confine"
	"github.com/pgcustos/pgcustos/internal/statement/pgparse"
)

// The test binary is its own parser worker, as pgcustos is.
const (
	asWorker   = "parser-worker"
	asGarbage  = "garbage-worker"
	asSilent   = "silent-worker"
	asDeaf     = "deaf-worker"
	asDying    = "dying-worker"
	asEscaping = "escaping-worker"
	asCounting = "counting-worker"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case asWorker:
			os.Exit(pgparse.Main(os.Stdin, os.Stdout))
		case asGarbage:
			os.Exit(garbage())
		case asSilent:
			select {} // never says that it is ready
		case asDeaf:
			os.Stdout.Write(make([]byte, 4))
			select {} // reads nothing
		case asDying:
			os.Stdout.Write(make([]byte, 4))
			os.Exit(7)
		case asEscaping:
			os.Exit(escape())
		case asCounting:
			os.Exit(count())
		}
	}
	goleak.VerifyTestMain(m)
}

// garbage says that it is ready and then answers nonsense.
func garbage() int {
	os.Stdout.Write(make([]byte, 4))
	buf := make([]byte, 1<<16)
	for {
		if n, err := os.Stdin.Read(buf); n == 0 || err != nil {
			return 0
		}
		os.Stdout.Write([]byte("\x00\x00\x00\x09nonsense!"))
	}
}

// escape confines itself and answers each text with what an attempt to leave
// came to.
func escape() int {
	if err := confine.Limit(1 << 30); err != nil {
		return 3
	}
	pgparse.Read("SELECT 1")
	if err := confine.Seal(); err != nil {
		return 4
	}
	err := statement.Serve(os.Stdin, os.Stdout, 1<<20, func(text string) *statement.Judgement {
		return &statement.Judgement{
			Form:       statement.Redacted,
			Statements: []statement.Statement{{Command: "ATTEMPT", Class: statement.Misc, Text: attempt(text)}},
		}
	})
	if err != nil {
		return 5
	}
	return 0
}

func attempt(what string) string {
	var err error
	switch what {
	case "open":
		_, err = os.ReadFile("/etc/passwd")
	case "create":
		err = os.WriteFile("/tmp/escaped", nil, 0o600)
	case "socket":
		_, err = net.Dial("tcp", "127.0.0.1:1")
	case "unix":
		_, err = net.Dial("unix", "/tmp/none")
	case "exec":
		err = exec.Command("/bin/true").Run()
	case "signal":
		err = syscall.Kill(os.Getppid(), 0)
	case "trace":
		err = syscall.PtraceAttach(os.Getppid())
	case "code":
		_, err = syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_EXEC, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	case "threads":
		return threads()
	case "own environment":
		_, err = os.ReadFile("/proc/self/environ")
	case "calls":
		return refused()
	case "environment":
		return environment()
	}
	return fmt.Sprint(err)
}

// threads makes the runtime start threads, which must go on working.
func threads() string {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { pgparse.Read("SELECT 1") })
		wg.Wait() // pg_query's standard error is not for two at once
	}
	return "fine"
}

func command(mode string) []string { return []string{"/proc/self/exe", mode} }

// open returns a reader, closed with the test, and the deaths of its workers.
func open(t testing.TB, opts statement.Options, mode string) (*statement.Reader, <-chan statement.Death) {
	t.Helper()
	deaths := make(chan statement.Death, 1024)
	r, err := statement.Open(opts, command(mode), statement.Hooks{Died: func(d statement.Death) { deaths <- d }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, deaths
}

func judge(t testing.TB, r *statement.Reader, text string) *statement.Judgement {
	t.Helper()
	return r.Judge(t.Context(), []byte(text), statement.UTF8)
}

func wantCause(t testing.TB, j *statement.Judgement, cause statement.Cause) {
	t.Helper()
	if j.Cause != cause || (cause != "") != (j.Class == statement.Unknown) {
		t.Fatalf("cause %q, class %v; want cause %q", j.Cause, j.Class, cause)
	}
}

// awaitDeath returns the next death.
func awaitDeath(t testing.TB, deaths <-chan statement.Death) statement.Death {
	t.Helper()
	select {
	case d := <-deaths:
		return d
	case <-time.After(10 * time.Second):
		t.Fatal("no worker died")
		return statement.Death{}
	}
}

// workers returns the process ids of this process's children.
func workers(t testing.TB) []int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, task := range tasks {
		list, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(list)) {
			var pid int
			if _, err := fmt.Sscan(field, &pid); err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestJudge(t *testing.T) {
	r, _ := open(t, statement.Options{}, asWorker)
	const text = "WITH gone AS (DELETE FROM s.t RETURNING *) SELECT * FROM gone"
	if _, ok := r.Cached([]byte(text), statement.UTF8); ok {
		t.Fatal("cached before it was read")
	}
	j := judge(t, r, text)
	if j.Class != statement.Read|statement.Write || j.Tags != statement.TagDestructive || j.Statements[0].Text != text {
		t.Fatalf("%+v", j)
	}
	again, ok := r.Cached([]byte(text), statement.UTF8)
	if !ok || again != j {
		t.Fatal("not cached")
	}
	if s := r.Stats(); s.Hits != 1 || s.Misses != 1 || s.Entries != 1 || s.WorkersOnCall != 2 {
		t.Fatalf("%+v", s)
	}
}

func TestUnknown(t *testing.T) {
	r, _ := open(t, statement.Options{MaxText: 1 << 20}, asWorker)
	for _, c := range []struct {
		name, text string
		encoding   statement.Encoding
		cause      statement.Cause
	}{
		{"empty", "", statement.UTF8, statement.CauseNone},
		{"comments", " -- nothing\n/* at all */ ;; ", statement.UTF8, statement.CauseNone},
		{"syntax", "SELEC 1", statement.UTF8, statement.CauseSyntax},
		{"size", strings.Repeat(" ", 1<<20) + "!", statement.UTF8, statement.CauseSize},
		{"invalid UTF-8", "SELECT '\xff'", statement.UTF8, statement.CauseEncoding},
		{"other encoding", "SELECT 'é'", statement.Other, statement.CauseEncoding},
		{"other encoding, ASCII", "SELECT 'e'", statement.Other, statement.CauseNone},
		{"NUL", "SELECT 1\x00; DROP TABLE t", statement.UTF8, statement.CauseProtocol},
		{"high", "SELECT 'é'", statement.UTF8, statement.CauseNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantCause(t, r.Judge(t.Context(), []byte(c.text), c.encoding), c.cause)
		})
	}
	if _, ok := r.Cached([]byte("SELECT 'é'"), statement.Other); ok {
		t.Error("a text read as UTF-8 is taken for one in another encoding")
	}
	if _, ok := r.Cached([]byte("SELEC 1"), statement.UTF8); ok {
		t.Error("what could not be read is cached")
	}
}

// A text that kills the parser is Unknown, and costs nobody else anything.
func TestDeadlyTexts(t *testing.T) {
	sums := "SELECT 1" + strings.Repeat("+1", 512<<10)
	parentheses := "SELECT " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000)
	nested := strings.Repeat("SELECT (", 20_000) + "1" + strings.Repeat(")", 20_000)
	r, deaths := open(t, statement.Options{Timeout: 5 * time.Second}, asWorker)
	for _, text := range []string{sums, parentheses, nested, sums} {
		j := judge(t, r, text)
		if j.Class != statement.Unknown {
			t.Fatalf("%.20q…: %v", text, j.Class)
		}
		t.Logf("%.20q… (%d bytes): %s", text, len(text), j.Cause)
		wantCause(t, judge(t, r, "SELECT 1"), statement.CauseNone)
	}
	if d := awaitDeath(t, deaths); d.Cause != statement.CauseParser || d.Bytes != len(sums) {
		t.Errorf("%+v", d)
	}
}

func TestWorkerKilledWhileIdle(t *testing.T) {
	r, deaths := open(t, statement.Options{}, asWorker)
	for _, pid := range workers(t) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if d := awaitDeath(t, deaths); d.Cause != statement.CauseNone || d.Bytes != 0 || !strings.Contains(d.Detail, "killed") {
			t.Errorf("%+v", d)
		}
	}
	until(t, func() bool { return judge(t, r, "SELECT 1").Cause == statement.CauseNone })
}

func TestWorkerKilledWhileBusy(t *testing.T) {
	r, deaths := open(t, statement.Options{Workers: 1, Timeout: 20 * time.Second, Wait: time.Minute, MaxText: 64 << 20}, asWorker)
	pid := workers(t)[0]
	heavy := "SELECT 1" + strings.Repeat(", 'abc'", 1<<20)
	answer := make(chan *statement.Judgement)
	used := ticks(t, pid)
	go func() { answer <- r.Judge(context.Background(), []byte(heavy), statement.UTF8) }()
	untilBusy(t, pid, used)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wantCause(t, <-answer, statement.CauseParser)
	if d := awaitDeath(t, deaths); d.Cause != statement.CauseParser || d.Bytes != len(heavy) || d.PID != pid {
		t.Errorf("%+v", d)
	}
	wantCause(t, judge(t, r, "SELECT 1"), statement.CauseNone)
}

// until waits for a condition.
func until(t testing.TB, met func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !met() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("waited in vain")
		}
	}
}

// untilBusy waits until a process has used a tenth of a second more than used, in
// clock ticks: what it took to start does not count.
func untilBusy(t testing.TB, pid, used int) {
	t.Helper()
	until(t, func() bool { return ticks(t, pid) >= used+10 })
}

// ticks is the processor time of a process in user mode.
func ticks(t testing.TB, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var n int
	if _, err := fmt.Sscan(fields[11], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTimeout(t *testing.T) {
	r, deaths := open(t, statement.Options{Workers: 1, Timeout: 50 * time.Millisecond, MaxText: 64 << 20}, asWorker)
	heavy := []byte("SELECT 1" + strings.Repeat(", 'abc'", 1<<20))
	wantCause(t, r.Judge(t.Context(), heavy, statement.UTF8), statement.CauseTimeout)
	if d := awaitDeath(t, deaths); d.Cause != statement.CauseTimeout {
		t.Errorf("%+v", d)
	}
}

func TestContext(t *testing.T) {
	r, _ := open(t, statement.Options{Workers: 1, Timeout: time.Minute, MaxText: 64 << 20}, asWorker)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	heavy := []byte("SELECT 1" + strings.Repeat(", 'abc'", 1<<20))
	wantCause(t, r.Judge(ctx, heavy, statement.UTF8), statement.CauseTimeout)
	wantCause(t, judge(t, r, "SELECT 1"), statement.CauseNone)
}

// A text that is given up while a worker still reads it is no fault of the worker's:
// the next one is there at once.
func TestGivenUpWhileAsked(t *testing.T) {
	r, _ := open(t, statement.Options{Workers: 1, Timeout: time.Minute, MaxText: 64 << 20}, asDeaf)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		wantCause(t, r.Judge(ctx, []byte(strings.Repeat("x", 4<<20)), statement.UTF8), statement.CauseTimeout)
		cancel()
	}
}

func TestLargeText(t *testing.T) {
	r, _ := open(t, statement.Options{Timeout: 30 * time.Second, MaxText: 32 << 20, Memory: 4 << 30}, asWorker)
	text := "INSERT INTO t VALUES ('" + strings.Repeat("x", 20<<20) + "')"
	j := judge(t, r, text)
	wantCause(t, j, statement.CauseNone)
	if j.Class != statement.Write || j.Statements[0].Text != text {
		t.Errorf("class %v, text of %d bytes", j.Class, len(j.Statements[0].Text))
	}
	if _, ok := r.Cached([]byte(text), statement.UTF8); ok {
		t.Error("a text of 20 MB is cached")
	}
}

func TestGarbage(t *testing.T) {
	r, deaths := open(t, statement.Options{Workers: 1}, asGarbage)
	for range 3 {
		wantCause(t, judge(t, r, "SELECT 1"), statement.CauseParser)
		if d := awaitDeath(t, deaths); d.Cause != statement.CauseParser {
			t.Errorf("%+v", d)
		}
	}
}

// Workers that die by themselves are started again ever more slowly, and
// nobody waits for them.
func TestDyingWorkers(t *testing.T) {
	r, deaths := open(t, statement.Options{Workers: 1, Timeout: time.Minute}, asDying)
	for range 4 {
		if d := awaitDeath(t, deaths); !strings.Contains(d.Detail, "exit status 7") {
			t.Errorf("%+v", d)
		}
	}
	begin := time.Now()
	wantCause(t, judge(t, r, "SELECT 1"), statement.CauseParser)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestOpenFails(t *testing.T) {
	for _, argv := range [][]string{nil, {"/none"}, {"/bin/false"}, {"/bin/echo", "longer than a frame"}} {
		r, err := statement.Open(statement.Options{}, argv, statement.Hooks{})
		if err == nil {
			r.Close()
			t.Errorf("%q: no error", argv)
		}
		t.Log(err)
	}
}

func TestParallel(t *testing.T) {
	r, _ := open(t, statement.Options{Timeout: 20 * time.Second}, asWorker)
	var wg sync.WaitGroup
	var wrong atomic.Int64
	for i := range 64 {
		wg.Go(func() {
			for k := range 20 {
				text := fmt.Sprintf("SELECT %d FROM t%d", k, i)
				j := r.Judge(t.Context(), []byte(text), statement.UTF8)
				if j.Cause != "" || j.Statements[0].Text != text || j.Statements[0].Objects[0].Name != fmt.Sprintf("t%d", i) {
					wrong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of 1280 are wrong", n)
	}
}

// Whoever waits for a worker when the pool is closed gets an answer.
func TestCloseWhileWaiting(t *testing.T) {
	r, err := statement.Open(statement.Options{Workers: 1, Timeout: time.Minute, MaxText: 64 << 20}, command(asWorker), statement.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	pid := workers(t)[0]
	heavy := []byte("SELECT 1" + strings.Repeat(", 'abc'", 1<<20))
	answers := make(chan *statement.Judgement, 2)
	used := ticks(t, pid)
	for range 2 {
		go func() { answers <- r.Judge(context.Background(), heavy, statement.UTF8) }()
	}
	untilBusy(t, pid, used)
	r.Close()
	for range 2 {
		if j := <-answers; j.Class != statement.Unknown {
			t.Errorf("%v", j.Class)
		}
	}
	wantCause(t, judge(t, r, "SELECT 1"), statement.CauseParser)
}

// TestShortPassesLong: long texts have all workers but one, whoever sends them, and each
// of them is read in the end.
func TestShortPassesLong(t *testing.T) {
	r, _ := open(t, statement.Options{Workers: 2, Timeout: time.Minute, Wait: 5 * time.Minute, MaxText: 64 << 20, Memory: 4 << 30}, asWorker)
	const many = 4
	heavy := []byte("SELECT 1" + strings.Repeat(", 'abc'", 1<<16))
	answers := make(chan *statement.Judgement, many)
	for i := range many {
		j := statement.For(r, fmt.Sprint("sender ", i))
		go func() { answers <- j.Judge(context.Background(), heavy, statement.UTF8) }()
	}
	until(t, func() bool { return r.Stats().Waiting == many-1 })
	for i := range 5 {
		wantCause(t, judge(t, r, fmt.Sprintf("SELECT %d AS a%d", i, i)), statement.CauseNone)
	}
	if n := len(answers); n > many/2 {
		t.Errorf("%d of %d long texts were read before five short ones", n, many)
	}
	for range many {
		wantCause(t, <-answers, statement.CauseNone)
	}
}

// TestShortPassesDeadly: texts that kill whoever reads them leave a worker to short ones.
func TestShortPassesDeadly(t *testing.T) {
	r, deaths := open(t, statement.Options{Workers: 2, Timeout: time.Minute, Wait: 5 * time.Minute}, asWorker)
	const many = 4
	answers := make(chan struct{}, many)
	for n := range many {
		go func() {
			r.Judge(context.Background(), []byte("SELECT 1"+strings.Repeat("+1", 100_000+n)), statement.UTF8)
			answers <- struct{}{}
		}()
	}
	for i := 0; len(answers) < many; i++ {
		wantCause(t, judge(t, r, fmt.Sprintf("SELECT %d AS d%d", i, i)), statement.CauseNone)
		if n := r.Stats().WorkersOnCall; n == 0 {
			t.Fatal("nobody is left to read short texts")
		}
	}
	if len(deaths) == 0 {
		t.Error("they were not deadly")
	}
}

// What a worker that a text has taken over could still do: nothing.
func TestConfinement(t *testing.T) {
	r, _ := open(t, statement.Options{Workers: 1}, asEscaping)
	for what, want := range map[string]string{
		"open": "operation not permitted", "create": "operation not permitted",
		"socket": "operation not permitted", "unix": "operation not permitted",
		"exec": "operation not permitted", "signal": "operation not permitted",
		"trace": "operation not permitted", "code": "operation not permitted",
		"threads": "fine",
	} {
		j := judge(t, r, what)
		if len(j.Statements) != 1 || !strings.Contains(j.Statements[0].Text, want) {
			t.Errorf("%s: %+v", what, j.Statements)
		}
	}
}

// A worker has no environment but its limit, no descriptors but its pipes, and
// none of the limits of its parent.
func TestWorkerProcess(t *testing.T) {
	t.Setenv("PGPASSWORD", "secret")
	open(t, statement.Options{Workers: 1, Memory: 512 << 20}, asWorker)
	proc := fmt.Sprintf("/proc/%d/", workers(t)[0])
	env, err := os.ReadFile(proc + "environ")
	if err != nil {
		t.Fatal(err)
	}
	want := "PGCUSTOS_PARSER_MEMORY=536870912\x00PGCUSTOS_PARSER_STAGE=2\x00" +
		"GOTRACEBACK=none\x00GOMAXPROCS=2\x00GODEBUG=containermaxprocs=0,updatemaxprocs=0\x00"
	if string(env) != want {
		t.Errorf("environment %q", env)
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Seccomp:\t2", "NoNewPrivs:\t1"} {
		if !strings.Contains(string(status), line) {
			t.Errorf("no %q in its status", line)
		}
	}
	limits, err := os.ReadFile(proc + "limits")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Max data size             536870912            536870912", "Max core file size        0                    0",
		"Max file size             0                    0", "Max stack size            16777216             16777216",
	} {
		if !strings.Contains(string(limits), line) {
			t.Errorf("no %q in\n%s", line, limits)
		}
	}
	fds, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		to, _ := os.Readlink(proc + "fd/" + fd.Name())
		if !strings.HasPrefix(to, "pipe:") && to != "/dev/null" && !strings.HasPrefix(to, "anon_inode:") {
			t.Errorf("descriptor %s is %s", fd.Name(), to)
		}
	}
}
