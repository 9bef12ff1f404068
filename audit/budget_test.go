package audit

import (
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	const second = int64(time.Second)
	var b Budget
	if !b.Affords(0, 1<<40, false) {
		t.Error("a budget without limits refuses")
	}
	b.SetLimits(BudgetLimits{Rate: 100, Burst: 1000})
	steps := []struct {
		name string
		now  int64
		n    int64
		debt bool
		want bool
	}{
		{"all at once", 0, 1000, false, true},
		{"one more", 0, 1, false, false},
		{"one more, of a refusal", 0, 600, true, true},
		{"and no more of those", 0, 500, true, false},
		{"while the debt is paid", 5 * second, 101, false, false},
		{"when it is paid", 7 * second, 100, false, true},
		{"larger than the bucket, which is not full", 8 * second, 5000, false, false},
		{"larger than the bucket, which is full", 18 * second, 5000, false, true},
		{"that is paid for", 57 * second, 1, false, false},
		{"the bucket is not higher than that", 1e6 * second, 1001, false, true},
		{"whatever was saved up", 1e6 * second, 1, false, false},
	}
	for _, s := range steps {
		got := b.Affords(s.now, s.n, s.debt)
		if got != s.want {
			t.Errorf("%s: %v", s.name, got)
		}
		if got {
			b.Draw(1, 1, s.n)
		}
	}
	if got := b.Taken(1); got != 1000+600+100+5000+1001 {
		t.Errorf("%d bytes were taken", got)
	}
	if got := b.Taken(2); got != 0 {
		t.Errorf("%d bytes were taken in a new season", got)
	}
}
