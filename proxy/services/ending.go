package services

import (
	"fmt"
	"math"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// CauseEnds is that of the records which warn of a declaration's end.
const CauseEnds = "service_expires"

// warnings are how many days before its end a declaration is warned of.
var warnings = [...]int{1, 7, 30}

// ending warns before a declaration ends, once for each of the warnings.
func (k *Keeper) ending(id *auth.Identity, t *auth.Terms, m *remembered) {
	if !m.Ends.Equal(t.Ends) {
		m.Ends, m.Warned = t.Ends, 0
	}
	left := daysUntil(t.Ends)
	if t.Ends.IsZero() || left <= 0 {
		return
	}
	for _, days := range warnings {
		if left > days {
			continue
		}
		if (m.Warned == 0 || days < m.Warned) && k.tell(id, CauseEnds, fmt.Sprintf("service %s ends %s, at %s: %s answers for it",
			id.Account, inDays(left), t.Ends.UTC().Format(time.RFC3339), t.Owner)) {
			m.Warned = days
		}
		return
	}
}

// daysUntil counts the days that have begun.
func daysUntil(t time.Time) int { return int(math.Ceil(time.Until(t).Hours() / 24)) }

func inDays(n int) string {
	if n == 1 {
		return "within a day"
	}
	return fmt.Sprintf("in %d days", n)
}
