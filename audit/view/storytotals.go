package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/audit"
)

const (
	storyObjects      = 10_000 // objects counted apart
	storyObjectsShown = 20
)

// storyTotals are a session's.
type storyTotals struct {
	started                                bool
	statements, prepares                   int
	completed, failed, other, without      int
	denied, wouldDeny, refused             int
	rows, bytes                            int64
	committed, rolledBack, prepared, fates int
	objects                                map[string]*usage
}

// usage is how often an object was used, by how.
type usage struct {
	name              string
	read, written     int
	changed, executed int
	failed, refused   int // by whatever use
}

func newStoryTotals() storyTotals { return storyTotals{objects: map[string]*usage{}} }

func (t *storyTotals) add(e *entry) {
	t.started = t.started || e.Type == audit.SessionStart
	switch e.answer().Fate {
	case audit.Committed:
		t.committed++
	case audit.RolledBack:
		t.rolledBack++
	case audit.FatePrepared:
		t.prepared++
	case audit.FateLost:
		t.fates++
	}
	if !isStatement(e.Record) {
		return
	}
	t.verdict(e)
	if e.Type == audit.Prepare {
		t.prepares++
		return
	}
	t.statements++
	t.outcome(e)
	for i := range e.Objects {
		o := &e.Objects[i]
		name := objectName(o)
		u := t.objects[name]
		if u == nil {
			if len(t.objects) >= storyObjects {
				continue
			}
			u = &usage{name: name}
			t.objects[name] = u
		}
		u.add(o.Use, e, 1)
	}
}

func (u *usage) add(use string, e *entry, n int) {
	switch {
	case !awaits(e.Record):
		u.refused += n
	case e.answer().Result == audit.Failed, e.answer().Result == audit.Skipped:
		u.failed += n
	case use == "written":
		u.written += n
	case use == "created", use == "altered", use == "dropped":
		u.changed += n
	case use == "executed":
		u.executed += n
	default:
		u.read += n
	}
}

func (u *usage) sum() int { return u.read + u.written + u.changed + u.executed + u.failed + u.refused }

func (u *usage) String() string {
	var parts []string
	for _, p := range []struct {
		what string
		n    int
	}{{"read", u.read}, {"written", u.written}, {"changed", u.changed}, {"executed", u.executed}, {"failed", u.failed}, {"refused", u.refused}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d×", p.what, p.n))
		}
	}
	return strings.Join(parts, ", ")
}

func (t *storyTotals) verdict(e *entry) {
	switch e.Decision {
	case audit.Denied:
		t.denied++
	case audit.WouldDeny:
		t.wouldDeny++
	case audit.Unavailable:
		t.refused++
	case audit.Allowed:
	}
}

func (t *storyTotals) outcome(e *entry) {
	if !awaits(e.Record) {
		return
	}
	if e.outcome == nil {
		t.without++
		return
	}
	switch e.outcome.Result {
	case audit.Completed:
		t.completed++
	case audit.Failed:
		t.failed++
	default:
		t.other++
	}
	t.rows += max(0, e.outcome.Rows)
	t.bytes += max(0, e.outcome.Bytes)
}

func (t *storyTotals) String() string {
	var b strings.Builder
	list := func(label string, items ...string) {
		items = slices.DeleteFunc(items, func(s string) bool { return s == "" })
		if len(items) > 0 {
			fmt.Fprintf(&b, "  %-12s  %s\n", label, strings.Join(items, ", "))
		}
	}
	some := func(n int, what string) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("%d %s", n, what)
	}
	b.WriteString("Totals\n")
	list("statements", fmt.Sprint(t.statements), some(t.completed, "completed"), some(t.failed, "failed"), some(t.denied, "denied"),
		some(t.wouldDeny, "would have been denied"), some(t.refused, "refused"), some(t.other, "skipped or cut short"), some(t.without, "without an outcome"))
	if t.prepares > 0 {
		list("prepared", count(int64(t.prepares), "text"))
	}
	list("answered", count(t.rows, "row"), count(t.bytes, "byte"))
	list("transactions", some(t.committed, "committed"), some(t.rolledBack, "rolled back"), some(t.prepared, "prepared"), some(t.fates, "of unknown fate"))
	used := make([]*usage, 0, len(t.objects))
	for _, u := range t.objects {
		used = append(used, u)
	}
	slices.SortFunc(used, func(a, b *usage) int { return cmp.Or(cmp.Compare(b.sum(), a.sum()), cmp.Compare(a.name, b.name)) })
	for i, u := range used {
		if i == storyObjectsShown {
			list("", fmt.Sprintf("and %d more", len(used)-i))
			break
		}
		label := ""
		if i == 0 {
			label = "objects"
		}
		list(label, neutral(arrowless(u.name, '→'), 100)+": "+u.String())
	}
	return b.String()
}
