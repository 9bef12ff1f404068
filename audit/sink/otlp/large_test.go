package otlp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/audit/sink/otlp"
	"github.com/pgcustos/pgcustos/audit/view"
)

// TestLargeRecord: a record that no request has room for, by the objects of its statement
// or the values that were bound, holds up none behind it. gRPC's own bound is 4 MiB.
func TestLargeRecord(t *testing.T) {
	objects := record(1, "DROP TABLE …")
	for i := range 400_000 {
		objects.Objects = append(objects.Objects, journal.Object{Name: fmt.Sprintf("t%05x", i), Kind: "relation"})
	}
	values := record(2, "SELECT $1")
	values.Parameters = &journal.Parameters{Form: "full", Count: 1, Values: []journal.Parameter{{Kind: audit.ParameterText, Value: strings.Repeat("\x01", 1<<20)}}}
	change := record(3, "")
	change.Change, change.Detail = strings.Repeat("rule x: added\n", 400_000), strings.Repeat("x", 4<<20)
	for _, body := range []func(*journal.Record) ([]byte, error){nil, view.OCSFLine, func(r *journal.Record) ([]byte, error) { return r.MarshalJSON() }} {
		both(t, func(t *testing.T, overHTTP bool) {
			t.Helper()
			r, s := serve(t, overHTTP, func(o *otlp.Options) { o.Body = body })
			if err := s.Deliver(t.Context(), []*journal.Record{objects, values, change, record(4, "SELECT 1")}); err != nil {
				t.Fatalf("%.200v", err)
			}
			for sequence := range int64(4) {
				l := r.got[sequence+1]
				if l == nil {
					t.Fatalf("record %d did not come", sequence+1)
				}
				if size := len(l.String()); size > 4<<20 {
					t.Errorf("record %d has %d bytes", sequence+1, size)
				}
				large := sequence == 0 || sequence < 3 && body != nil // attributes have neither values nor changes
				if attribute(l, "pgcustos.truncated").GetBoolValue() != large {
					t.Errorf("record %d says truncated: %v", sequence+1, !large)
				}
				if attribute(l, "user.name").GetStringValue() != "alice" || attribute(l, "db.operation.name").GetStringValue() != "SELECT" {
					t.Errorf("record %d does not say whose it is", sequence+1)
				}
			}
			if n := attribute(r.got[1], "pgcustos.objects_count").GetIntValue(); n != 400_001 {
				t.Errorf("%d objects", n)
			}
		})
	}
}
