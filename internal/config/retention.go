package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// mostKept bounds periods of retention: a time.Duration has room for 292 years.
const mostKept = 36500 * day

// readRetention reads for how long records are kept.
func (o *object) readRetention(compress bool) (r journal.Retention) {
	if !o.has("retention") {
		return r
	}
	s := o.section("retention")
	r.Age = s.days("age", 0, day, mostKept)
	for tier := range r.Tiers {
		key := fmt.Sprintf("tier_%d", tier)
		if r.Tiers[tier] = s.days(key, 0, day, mostKept); r.Tiers[tier] > 0 && !s.has("age") {
			s.where(key).errorf("needs age: records of other tiers are kept for ever")
		}
	}
	r.Size = s.size("size", 0, 1<<30, math.MaxInt64)
	r.AtLeast = s.days("at_least", 30*day, day, mostKept)
	if r.Age > 0 && r.AtLeast > r.Age {
		if s.has("at_least") {
			s.where("at_least").errorf("is longer than age (%s): lower it", printDays(r.Age))
		}
		r.AtLeast = r.Age
	}
	if !compress {
		o.where("retention").errorf("needs compression: zstd: what is removed is known from the indexes of compressed segments")
	}
	s.done()
	return r
}

// days reads a period such as 400d, or 36h, between least and most.
func (o *object) days(key string, otherwise, least, most time.Duration) time.Duration {
	v, ok := o.get(key)
	if !ok {
		return otherwise
	}
	s, ok := v.str()
	if !ok {
		return otherwise
	}
	d, err := time.ParseDuration(s)
	if count, found := strings.CutSuffix(s, "d"); found {
		var n int
		if n, err = strconv.Atoi(count); err == nil {
			d = min(time.Duration(n), mostKept/day+1) * day
		}
	}
	switch {
	case err != nil:
		v.errorf("%q is not a period: write 400d or 36h", s)
	case d < least || d > most:
		v.errorf("%s is out of range: from %s to %s", s, printDays(least), printDays(most))
	default:
		return d
	}
	return otherwise
}

func printDays(d time.Duration) string {
	if d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return short(d)
}

// retained tells the difference between two configurations.
func (d *diff) retained(before, after *journal.Retention) {
	of(d, "journal: retention.age", printDays(before.Age), printDays(after.Age))
	for tier := range before.Tiers {
		of(d, fmt.Sprintf("journal: retention.tier_%d", tier), printDays(before.Tiers[tier]), printDays(after.Tiers[tier]))
	}
	of(d, "journal: retention.size", printSize(before.Size), printSize(after.Size))
	of(d, "journal: retention.at_least", printDays(before.AtLeast), printDays(after.AtLeast))
}
