package journal

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// principals choose records by account, and ask of outcomes.
func principals(account string) *Selection {
	return &Selection{
		Fields: []string{"account"},
		Picker: func() func(*Raw) Choice {
			return func(r *Raw) Choice {
				switch {
				case string(r.Field(0)) == account:
					return Yes
				case r.Type == audit.Outcome:
					return Maybe
				}
				return No
			}
		},
	}
}

func TestSelectedRecords(t *testing.T) {
	o := small(t)
	j := open(t, o)
	c := testContext()
	alice := j.Prepare(c)
	c.Principal.Account = "carol"
	carol := j.Prepare(c)
	var wanted []uint64
	for i := range 2000 {
		p := carol
		if i%7 == 0 {
			p = alice
		}
		r := record(t, j, testStatement(p))
		out := record(t, j, testOutcome(p, r.Sequence))
		if i%7 == 0 {
			wanted = append(wanted, r.Sequence)
		}
		if i%5 == 0 || i%7 == 0 {
			wanted = append(wanted, out.Sequence)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	selection := principals("alice")
	selection.Confirm = func(r *Reference) bool {
		if string(r.Session) != c.Session || r.Type != audit.Outcome || r.Statement+1 != r.Sequence && r.Statement+2 != r.Sequence {
			t.Errorf("asked of %+v", r)
		}
		return slices.Contains(wanted, r.Sequence)
	}
	reader, err := OpenReader(ReaderOptions{Path: o.Path, Select: selection})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for i := 0; ; i++ {
		r, err := reader.Next()
		if errors.Is(err, io.EOF) && i == len(wanted) {
			return
		}
		if err != nil {
			t.Fatal(i, err)
		}
		if i == len(wanted) || r.Sequence != wanted[i] {
			t.Fatalf("record %d is the %dth", r.Sequence, i)
		}
	}
}

// TestWatchEnds lets whoever watches end a scan that returns nothing.
func TestWatchEnds(t *testing.T) {
	o := small(t)
	j := open(t, o)
	st := testStatement(j.Prepare(testContext()))
	for range 3 * watchEvery {
		record(t, j, st)
		j.Release(1)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	enough, last := errors.New("enough"), time.Time{}
	reader, err := OpenReader(ReaderOptions{Path: o.Path, Select: principals("nobody"), Watch: func(n uint64, at time.Time) error {
		if n < 2*watchEvery {
			return nil
		}
		last = at
		return enough
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := reader.Next(); !errors.Is(err, enough) {
		t.Errorf("Next: %v", err)
	}
	if time.Since(last) > time.Hour {
		t.Errorf("the last was at %v", last)
	}
}

// TestRejectedRecordsAllocateNothing reads a journal of which nothing is wanted.
func TestRejectedRecordsAllocateNothing(t *testing.T) {
	o := small(t)
	o.SegmentSize = 8 << 20
	j := open(t, o)
	const records = 4000
	p := j.Prepare(testContext())
	for range records / 2 {
		r := record(t, j, testStatement(p))
		record(t, j, testOutcome(p, r.Sequence))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(3, func() {
		selection := principals("nobody")
		selection.Confirm = func(*Reference) bool { return false }
		reader, err := OpenReader(ReaderOptions{Path: o.Path, Select: selection})
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		if r, err := reader.Next(); !errors.Is(err, io.EOF) {
			t.Fatal(r, err)
		}
	})
	if allocs > records/20 {
		t.Errorf("%v allocations for %d records", allocs, records)
	}
}

// TestSplitFindsWhatDecodeFinds holds the walk over the fields against decoding, on
// bodies that are nearly right.
func TestSplitFindsWhatDecodeFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	p := newPicker(&Selection{
		Fields: []string{"account", "text", "class"},
		Picker: func() func(*Raw) Choice { return func(*Raw) Choice { return No } },
	}, time.Time{})
	ids := []uint16{1, 2, 19, 32, 51, 53, 54, 80, 86, 112, 115, 116, 118, 119, 200, 60000}
	refused := 0
	for n := range 20_000 {
		var body []byte
		for range rng.IntN(6) {
			id, value := ids[rng.IntN(len(ids))], make([]byte, []int{0, 3, 7, 8, 8, 8, 12, 32, 56, 64}[rng.IntN(10)])
			body = binary.LittleEndian.AppendUint16(body, id)
			body = binary.LittleEndian.AppendUint32(body, uint32(len(value)))
			for i := range value {
				value[i] = byte(rng.IntN(4))
			}
			body = append(body, value...)
		}
		if rng.IntN(8) == 0 && len(body) > 0 {
			body = body[:rng.IntN(len(body))]
		}
		var r Record
		err := r.decode(body)
		clear(p.raw.values[:])
		if ok := p.split(body); ok && err != nil {
			t.Fatalf("body %d: %x is passed over, and is %v", n, body, err)
		} else if !ok {
			refused++
		} else if r.Principal.Account != string(p.raw.Field(0)) {
			t.Fatalf("body %d: account %q instead of %q", n, p.raw.Field(0), r.Principal.Account)
		}
	}
	if refused == 0 {
		t.Error("no body was refused")
	}
}
