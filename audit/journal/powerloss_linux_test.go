package journal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
)

var (
	losses   = flag.Int("losses", 20, "how many seeds TestPowerLoss plays")
	lossSeed = flag.Uint64("loss-seed", 0, "the seed that TestPowerLoss plays alone")
)

// TestPowerLoss takes the machine's power while eight sessions record, a few times
// for each seed, also from the recovery after the loss before. What Wait
// acknowledged is there, once and whole, also where a sync failed before; the chain
// holds; the journal opens again; and what was set aside is told.
func TestPowerLoss(t *testing.T) {
	checkLeaks(t)
	first, n := uint64(1), uint64(*losses)
	if *lossSeed > 0 {
		first, n = *lossSeed, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { losePower(t, seed) })
	}
}

func losePower(t *testing.T, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	root := filepath.Join(t.TempDir(), "0")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	var all []acks
	for n := 1 + rng.IntN(4); n > 0; n-- {
		image := fmt.Sprintf("%s%d", root[:len(root)-1], n)
		d := powerOn(t, rng, root, image, 60)
		all = append(all, recordUntilLost(t, d, root, fmt.Sprint(n)))
		if d.err != nil {
			t.Fatal(d.err)
		}
		root = image
	}
	_, signer := testKey(1)
	j, err := Open(Options{Path: root, Node: "power", SegmentSize: powerSegment, Reserve: 4 << 10, Signer: signer})
	if err != nil {
		t.Fatalf("after the loss: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	checkAcks(t, root, all)
	mustVerify(t, root)
	checkTold(t, root)
}

const powerSegment = 128 << 10

// recordUntilLost is the life of a journal up to the loss of power. What was
// acknowledged before that is returned.
func recordUntilLost(t *testing.T, d *powerDisk, root, round string) acks {
	t.Helper()
	a := acks{texts: map[uint64]string{}, outcomes: map[uint64]uint64{}}
	_, signer := testKey(1)
	j, err := openOn(Options{Path: root, Node: "power", SegmentSize: powerSegment, Reserve: 4 << 10, Signer: signer}, d)
	if err != nil {
		if !d.ill || !errors.Is(err, audit.ErrBroken) {
			t.Fatalf("round %s: %v", round, err)
		}
		d.end()
		return a
	}
	a.stream = j.Stream()
	var wg sync.WaitGroup
	for w := range crashWriters {
		wg.Go(func() {
			err := powerWriter(t.Context(), j, d, &a, round, w)
			if err != nil && !d.gone() && !(d.failed() && errors.Is(err, audit.ErrBroken)) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	d.end()
	if err := j.Close(); err != nil && !d.failed() {
		t.Error(err)
	}
	return a
}

// powerWriter records statements with their outcomes. Some wait for each, the
// others now and then, so that there is always much that need not last.
func powerWriter(ctx context.Context, j *Journal, d *powerDisk, a *acks, round string, w int) error {
	p := j.Prepare(testContext())
	unacked := acks{texts: map[uint64]string{}, outcomes: map[uint64]uint64{}}
	for n := 0; !d.gone(); n++ {
		text := crashText(round, w, n)
		r, err := j.Record(&audit.Event{Type: audit.Statement, Prepared: p, Decision: audit.Allowed, Text: text})
		if err != nil {
			return err
		}
		unacked.texts[r.Sequence] = text
		o, err := j.Record(testOutcome(p, r.Sequence))
		if err != nil {
			return err
		}
		unacked.outcomes[o.Sequence] = r.Sequence
		if w%2 == 1 && n%16 < 15 {
			continue
		}
		if err := j.Wait(ctx, o); err != nil {
			return err
		}
		d.acknowledge(a, &unacked)
	}
	return nil
}

// end loses the power, where it was not lost.
func (d *powerDisk) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lose()
}

func (d *powerDisk) failed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ill
}

// acknowledge moves what was recorded to what must be there, unless nobody can
// have heard of it.
func (d *powerDisk) acknowledge(to, from *acks) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone() {
		return
	}
	for sequence, text := range from.texts {
		to.texts[sequence] = text
	}
	for sequence, of := range from.outcomes {
		to.outcomes[sequence] = of
	}
	clear(from.texts)
	clear(from.outcomes)
}

// checkTold holds what was set aside against what the journals' first records
// tell of it.
func checkTold(t *testing.T, root string) {
	t.Helper()
	var told strings.Builder
	for _, r := range readAll(t, root) {
		if r.Type == audit.JournalOpened {
			told.WriteString(r.Detail)
		}
	}
	asides, err := filepath.Glob(filepath.Join(root, "*", "*.torn*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range asides {
		if !strings.Contains(told.String(), filepath.Base(filepath.Dir(path))) || !strings.Contains(told.String(), filepath.Base(path)) {
			t.Errorf("nothing tells of %s:\n%s", path, told.String())
		}
	}
}
