package journal

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// TestUpkeepLosesPower takes the machine's power while segments are compressed, encrypted,
// and in every second seed removed: what is left opens, is proven, and has lost no record
// that was not to go; and the next pass completes it.
func TestUpkeepLosesPower(t *testing.T) {
	whole, a := t.TempDir(), newAuditor(t)
	secrets(t, whole, 1)
	records := mustReadWith(t, whole, nil)
	first, n := uint64(1), uint64(*losses)
	if *lossSeed > 0 {
		first, n = *lossSeed, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { loseUpkeep(t, seed, whole, a, records) })
	}
}

func loseUpkeep(t *testing.T, seed uint64, whole string, a *auditor, records []*Record) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 2))
	root, image := copyTree(t, whole), filepath.Join(t.TempDir(), "image")
	d := powerOn(t, rng, root, image, 120)
	removes := seed%2 == 0
	upkeepOn(t, d, root, a, removes)
	d.end()
	if d.err != nil {
		t.Fatal(d.err)
	}
	if _, err := recoverStreams(image, thisMachine{}, false); err != nil {
		t.Fatalf("after the loss: %v", err)
	}
	mustVerify(t, image)
	mustVerify(t, image, identities(a.keys))
	again, err := readWith(image, a.keys)
	if err != nil || !removes && !reflect.DeepEqual(again, records) {
		t.Errorf("after the loss: %d of %d records, %v", len(again), len(records), err)
	}
	upkeepOn(t, thisMachine{}, image, a, removes)
	mustVerify(t, image)
	if left := holders(t, image, secret); len(left) > 0 {
		t.Errorf("done again, the secret stands in %v", left)
	}
	if left := segmentsLeft(t, image); removes && len(left) > 0 {
		t.Errorf("done again, left: %v", left)
	}
}

// upkeepOn archives and encrypts, and removes all where it is to.
func upkeepOn(t *testing.T, on disk, path string, a *auditor, removes bool) {
	t.Helper()
	_, signer := testKey(1)
	k := newArchiver(on, path, &archiveWatch{}, make(chan struct{}))
	k.signer, k.upkeep, k.seal.to = signer, &upkeep{}, a.to
	o := &Options{Upkeep: k.upkeep}
	if removes {
		o.Retention = Retention{Age: day}
	}
	r := newRetainer(k, o, "", func(*audit.Event) error { return nil })
	r.now = func() time.Time { return time.Now().Add(2 * day) }
	r.pass()
	_ = r.retain() // a sync that fails ends it
	if err := k.lock.Close(); err != nil {
		t.Fatal(err)
	}
}
