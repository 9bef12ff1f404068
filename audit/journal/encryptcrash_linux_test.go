package journal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

const (
	encryptPath = "JOURNAL_ENCRYPT_PATH"
	encryptTo   = "JOURNAL_ENCRYPT_TO"
	encryptStep = "JOURNAL_ENCRYPT_STEP"
)

// encryptChild encrypts a journal and removes blobs in clear, and is killed before the
// step of that number. It does not return.
func encryptChild(path, to, step string) {
	at, _ := strconv.Atoi(step)
	recipients, err := ParseRecipient(to)
	if err == nil {
		err = encryptUntil(path, recipients, func(n int) {
			if n == at {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// encryptUntil tells each step before it is taken.
func encryptUntil(path string, to Recipients, before func(n int)) error {
	_, signer := testKey(1)
	w := &archiveWatch{}
	a := newArchiver(thisMachine{}, path, w, make(chan struct{}))
	a.signer, a.upkeep, a.seal.to = signer, &upkeep{}, to
	n := 0
	a.step = func(string) error {
		before(n)
		n++
		return nil
	}
	k := newRetainer(a, &Options{Upkeep: a.upkeep}, "", func(*audit.Event) error { return nil })
	k.now = func() time.Time { return time.Now().Add(3 * sweepGrace) }
	k.pass()
	return errors.Join(append(w.failed, k.retain(), k.lock.Close())...)
}

// TestEncryptionIsKilled kills a process before each step of encrypting, with SIGKILL:
// nothing is lost, all is proven, recovery goes through, and the next one completes it.
func TestEncryptionIsKilled(t *testing.T) {
	whole, a := t.TempDir(), newAuditor(t)
	j := open(t, signedOptions(t, whole))
	p := j.Prepare(testContext())
	for i := range 5 {
		ev := testStatement(p)
		ev.Text = longText(17<<10-4<<10*(i%3+1)/3, uint64(i)) + secret
		record(t, j, ev)
	}
	ev := testStatement(p)
	ev.Text = longText(30<<10, 99) + secret // a blob
	record(t, j, ev)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	archiveAll(t, whole)
	records := mustReadWith(t, whole, nil)
	steps := 0
	for more := true; more; steps++ {
		path := copyTree(t, whole)
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), encryptPath+"="+path, encryptTo+"="+a.key.Recipient().String(), fmt.Sprintf("%s=%d", encryptStep, steps))
		child.Stderr = os.Stderr
		more = child.Run() != nil
		if state, _ := child.ProcessState.Sys().(syscall.WaitStatus); more && state.Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: %s", steps, child.ProcessState)
		}
		checkEncrypted(t, path, a, records)
		if _, err := recoverStreams(path, thisMachine{}, false); err != nil {
			t.Errorf("recovery: %v", err)
		}
		encryptAll(t, path, a)
		checkEncrypted(t, path, a, records)
		if left := holders(t, path, secret); len(left) > 0 {
			t.Errorf("the secret stands in %v", left)
		}
		if left, err := filepath.Glob(filepath.Join(path, "*", "*.tmp")); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		if t.Failed() {
			t.Fatalf("killed at step %d", steps)
		}
	}
	t.Logf("killed at each of %d steps", steps-1)
	if steps < 40 {
		t.Errorf("%d steps only", steps)
	}
}

// checkEncrypted reads and verifies a journal, however far its encryption has come.
func checkEncrypted(t *testing.T, path string, a *auditor, want []*Record) {
	t.Helper()
	if again, err := readWith(path, a.keys); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("%d of %d records, %v", len(again), len(want), err)
	}
	mustVerify(t, path)
	if v := mustVerify(t, path, identities(a.keys)); len(v.Notes) > 1 {
		t.Error(v.Notes) // an index in clear may have gone before its container
	}
}
