package wire

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// played collects the proxied plays, by the application name of their sessions.
type played struct {
	mu   sync.Mutex
	came map[string]*transcript
}

func newPlayed() *played { return &played{came: make(map[string]*transcript)} }

func (p *played) add(application string, t *transcript) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.came[application] = t
}

// checkJournal demands that what the journal says of each session is coherent in
// itself, and agrees with what the client was told.
func checkJournal(t *testing.T, site *testkit.Site, plays *played) {
	t.Helper()
	sessions := ended(t, site, plays)
	for name, came := range plays.came {
		faults := check(sessions[name], came)
		if len(faults) > 0 {
			t.Errorf("%s: %s\nthe journal says:\n%s\nthe client was told:\n%s", name, strings.Join(faults, "; "),
				strings.Join(tell(sessions[name]), "\n"), strings.Join(lines(came.frames), "\n"))
		}
	}
}

// ended waits for the end of every session, and returns their records by
// application name.
func ended(t *testing.T, site *testkit.Site, plays *played) map[string][]journal.Record {
	t.Helper()
	var byName map[string][]journal.Record
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	err := testkit.WaitFor(ctx, func() error {
		records, err := site.Records(func(r *journal.Record) bool { return r.Session != "" })
		if err != nil {
			return err
		}
		byName = make(map[string][]journal.Record)
		names := make(map[string]string) // the name may change, the session does not
		over := 0
		for i := range records {
			r := &records[i]
			switch r.Type {
			case audit.SessionStart:
				names[r.Session] = r.ApplicationName
			case audit.SessionEnd:
				if plays.came[names[r.Session]] != nil {
					over++
				}
			default:
			}
			byName[names[r.Session]] = append(byName[names[r.Session]], *r)
		}
		if over < len(plays.came) {
			return fmt.Errorf("%d of %d sessions have ended", over, len(plays.came))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return byName
}

// ledger is what a session's records say.
type ledger struct {
	open     map[uint64]*journal.Record // statements and Parses, by sequence number
	outcomes map[uint64]int
	tags     []string
	codes    []string
	fated    map[uint64]bool // transactions, by number
	faults   []string
}

func (l *ledger) fault(format string, values ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, values...))
}

// check returns what is wrong with a session's records.
func check(records []journal.Record, came *transcript) []string {
	l := &ledger{open: make(map[uint64]*journal.Record), outcomes: make(map[uint64]int), fated: make(map[uint64]bool)}
	var last uint64
	count := make(map[audit.Type]int)
	for i := range records {
		r := &records[i]
		if r.Sequence <= last {
			l.fault("record %d stands behind %d", r.Sequence, last)
		}
		last = r.Sequence
		count[r.Type]++
		l.enter(r, came)
	}
	if count[audit.SessionStart] != 1 || count[audit.SessionEnd] != 1 {
		l.fault("%d starts and %d ends", count[audit.SessionStart], count[audit.SessionEnd])
	}
	for seq, r := range l.open {
		want, got := 1, l.outcomes[seq]
		if r.Type == audit.Prepare {
			want = min(got, 1) // only a Parse that failed has an outcome
		}
		if got != want {
			l.fault("statement %d has %d outcomes", seq, got)
		}
	}
	for tx, fated := range l.fated {
		if !fated {
			l.fault("nobody knows what became of transaction %d", tx)
		}
	}
	l.agree(came)
	slices.Sort(l.faults)
	return l.faults
}

func (l *ledger) enter(r *journal.Record, came *transcript) {
	switch r.Type {
	case audit.Statement, audit.Prepare:
		if r.Decision == audit.Allowed || r.Decision == audit.WouldDeny {
			l.open[r.Sequence] = r
		}
	case audit.Outcome:
		l.outcomes[r.Statement]++
		if _, known := l.fated[r.Transaction]; r.Fate != "" || r.Result == audit.Completed && !known {
			l.fated[r.Transaction] = r.Fate != ""
		}
		if l.open[r.Statement] == nil {
			l.fault("outcome %d is of %d, which nobody was allowed", r.Sequence, r.Statement)
		}
		switch r.Result {
		case audit.Completed:
			l.tags = append(l.tags, r.Command)
		case audit.Failed:
			l.codes = append(l.codes, r.SQLSTATE)
			l.tags = append(l.tags, r.Command) // of a text that could not be read: what went well before
		case audit.Lost:
			if !came.cutShort() {
				l.fault("outcome %d says that the connection was lost", r.Sequence)
			}
		default:
		}
	case audit.Transaction:
		l.fated[r.Transaction] = true
		if r.Fate == audit.FateLost && !came.cutShort() {
			l.fault("transaction %d is said to be lost", r.Transaction)
		}
	default:
	}
}

// agree compares the command tags of completed statements with those that the
// client saw, in their order: a queue that is out of step would pair them wrongly.
func (l *ledger) agree(came *transcript) {
	var tags, codes []string
	for _, f := range slices.Concat(came.prologue, came.frames) {
		if code, ok := f.failure(); ok {
			codes = append(codes, code)
		}
		if f.typ == pgwire.CommandComplete {
			tag, _, _ := pgwire.CString(f.body)
			tags = append(tags, string(tag))
		}
	}
	if told := slices.DeleteFunc(slices.Clone(l.tags), func(s string) bool { return s == "" }); !paired(told, tags) {
		l.fault("completed are %q, the client saw %q", told, tags)
	}
	for _, code := range codes {
		if len(l.codes) > 0 && l.codes[0] == code {
			l.codes = l.codes[1:]
		}
	}
	if len(l.codes) > 0 {
		l.fault("failed with %v, which the client did not see in that order", l.codes)
	}
}

// tagsWithoutRows are those of statements that give rows and do not say how many.
var tagsWithoutRows = []string{"SHOW", "EXPLAIN", "CALL"}

// paired tells whether the recorded tags are those that the client saw. A portal
// that had come to its end answers each further Execute with no rows, which is
// no statement; a text that could not be read has its tags in one record.
func paired(told, seen []string) bool {
	rest := strings.Join(told, ", ")
	for _, tag := range seen {
		switch after, ok := strings.CutPrefix(rest, tag); {
		case ok && (after == "" || strings.HasPrefix(after, ", ")):
			rest = strings.TrimPrefix(after, ", ")
		case !strings.HasSuffix(tag, " 0") && !slices.Contains(tagsWithoutRows, tag):
			return false
		}
	}
	return rest == ""
}

// cutShort tells a session that ended with something outstanding: the last thing
// that the client heard is not that the backend is ready.
func (t *transcript) cutShort() bool {
	n := len(t.frames)
	return t.unanswered || n > 0 && t.frames[n-1].typ != pgwire.ReadyForQuery
}

func tell(records []journal.Record) []string {
	out := make([]string, len(records))
	for i := range records {
		r := &records[i]
		text := r.Text
		if len(text) > 80 {
			text = text[:80] + "..."
		}
		out[i] = fmt.Sprintf("%d tx%d %s %s of %d %s %s %s %s %q %s", r.Sequence, r.Transaction, r.Type, r.Decision, r.Statement, r.Result, r.Fate, r.Command, r.SQLSTATE, text, r.Cause)
	}
	return out
}
