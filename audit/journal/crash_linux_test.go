package journal

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

const (
	crashPath    = "JOURNAL_CRASH_PATH"
	crashRound   = "JOURNAL_CRASH_ROUND"
	crashRounds  = 20
	crashWriters = 8
)

// TestMain turns the test binary into a writer where TestCrash starts it so, and into an
// archiver where TestEncryptionIsKilled does.
func TestMain(m *testing.M) {
	if path := os.Getenv(encryptPath); path != "" {
		encryptChild(path, os.Getenv(encryptTo), os.Getenv(encryptStep))
	}
	if path := os.Getenv(crashPath); path != "" {
		if err := crashChild(path, os.Getenv(crashRound)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashText is what writer w records as its n-th statement.
func crashText(round string, w, n int) string {
	return fmt.Sprintf("%s/%d/%d/%s", round, w, n, strings.Repeat(string(rune('a'+n%26)), n*37%1500))
}

// crashChild records until it is killed, and tells each sequence after its
// Record has returned.
func crashChild(path, round string) error {
	_, signer := testKey(1)
	j, err := Open(Options{Path: path, Node: "crash", SegmentSize: 256 << 10, Reserve: 16 << 10, Signer: signer})
	if err != nil {
		return err
	}
	fmt.Printf("stream %s\n", j.Stream())
	var wg sync.WaitGroup
	errs := make(chan error, crashWriters)
	for w := range crashWriters {
		wg.Go(func() { errs <- crashWriter(j, round, w) })
	}
	return <-errs
}

func crashWriter(j *Journal, round string, w int) error {
	p := j.Prepare(testContext())
	for n := 0; ; n++ {
		r, err := j.Record(&audit.Event{
			Type: audit.Statement, Prepared: p, Decision: audit.Allowed, Text: crashText(round, w, n),
		})
		if err != nil {
			return err
		}
		// One short write is not mixed with those of other writers (pipe(7)).
		if _, err := fmt.Fprintf(os.Stdout, "ack %d %d %d\n", r.Sequence, w, n); err != nil {
			return err
		}
		o, err := j.Record(testOutcome(p, r.Sequence))
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(os.Stdout, "outcome %d %d\n", o.Sequence, r.Sequence); err != nil {
			return err
		}
	}
}

// acks are what a child said is on record.
type acks struct {
	stream   string
	texts    map[uint64]string
	outcomes map[uint64]uint64
}

// TestCrash kills a writer under load 20 times, and proves that what it said is
// on record is on record, whole and once.
func TestCrash(t *testing.T) {
	path := t.TempDir()
	var all []acks
	for round := range crashRounds {
		all = append(all, killOneWriter(t, path, fmt.Sprint(round), 1+rand.IntN(4000)))
		checkAcks(t, path, all)
		mustVerify(t, path)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	kept := keep(t, path)
	// Recovery of the last one changes nothing.
	public, signer := testKey(1)
	if err := open(t, Options{Path: path, Node: "last", SegmentSize: 256 << 10, Signer: signer}).Close(); err != nil {
		t.Fatal(err)
	}
	checkAcks(t, path, all)
	v := mustVerify(t, path, func(o *VerifyOptions) { o.Kept = kept })
	for _, s := range v.Streams {
		if !s.Finished && !endsWaiting(t, filepath.Join(path, s.Name)) || s.Unsigned != 0 || s.Covered.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	if _, _, err := verifyIndependently(path, public); err != nil {
		t.Errorf("the independent verifier: %v", err)
	}
	total := 0
	for _, a := range all {
		total += len(a.texts) + len(a.outcomes)
	}
	t.Logf("%d kills, %d acknowledged records", crashRounds, total)
}

// endsWaiting reports whether the last segment of a stream has not begun.
func endsWaiting(t *testing.T, dir string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	b, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	return waiting(b)
}

// killOneWriter runs a child and kills it after some acknowledgements.
func killOneWriter(t *testing.T, path, round string, after int) acks {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashPath+"="+path, crashRound+"="+round)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	a := acks{texts: map[uint64]string{}, outcomes: map[uint64]uint64{}}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		a.take(t, lines.Text(), round)
		if n == after {
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("round %s: the child was not killed: %v", round, err)
	}
	return a
}

func (a *acks) take(t *testing.T, line, round string) {
	t.Helper()
	var sequence, of uint64
	var w, n int
	switch {
	case strings.HasPrefix(line, "stream "):
		a.stream = line[len("stream "):]
	case scan(line, "ack %d %d %d", &sequence, &w, &n):
		a.texts[sequence] = crashText(round, w, n)
	case scan(line, "outcome %d %d", &sequence, &of):
		a.outcomes[sequence] = of
	default:
		t.Errorf("the child says %q", line)
	}
}

func scan(line, format string, to ...any) bool {
	n, err := fmt.Sscanf(line, format, to...)
	return err == nil && n == len(to)
}

func checkAcks(t *testing.T, path string, all []acks) {
	t.Helper()
	read := map[string]map[uint64]*Record{}
	for _, r := range readAll(t, path) {
		if read[r.Stream] == nil {
			read[r.Stream] = map[uint64]*Record{}
		}
		if read[r.Stream][r.Sequence] != nil {
			t.Errorf("record %d of %s twice", r.Sequence, r.Stream)
		}
		if want := uint64(len(read[r.Stream]) + 1); r.Sequence != want {
			t.Errorf("record %d of %s where %d must be", r.Sequence, r.Stream, want)
		}
		read[r.Stream][r.Sequence] = r
	}
	for _, a := range all {
		for sequence, text := range a.texts {
			if r := read[a.stream][sequence]; r == nil || r.Type != audit.Statement || r.Text != text {
				t.Errorf("statement %d of %s is not on record as acknowledged", sequence, a.stream)
			}
		}
		for sequence, of := range a.outcomes {
			if r := read[a.stream][sequence]; r == nil || r.Type != audit.Outcome || r.Statement != of || r.Rows != 1 {
				t.Errorf("outcome %d of %s is not on record as acknowledged", sequence, a.stream)
			}
		}
	}
}
