package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// score counts, for a class or a tag, the items of a corpus.
type score struct {
	said   int // that the server says it of
	found  int // and the record too
	dark   int // or the record says UNKNOWN, or dynamic_sql
	beyond int // that ran, and only the record says it of
}

func (s score) recall() float64 { return ratio(s.found+s.dark, s.said) }

func (s score) precision() float64 { return ratio(s.found, s.found+s.beyond) }

func ratio(of, all int) float64 {
	if all == 0 {
		return 100
	}
	return 100 * float64(of) / float64(all)
}

func (s *score) add(said, recorded, dark, failed bool) {
	switch {
	case said && recorded:
		s.said++
		s.found++
	case said && dark:
		s.said++
		s.dark++
	case said:
		s.said++
	case recorded && !failed:
		s.beyond++
	}
}

// judged are the tags that pgAudit's lines tell of.
const judged = statement.TagDDL | statement.TagDestructive | statement.TagPrivilege | statement.TagProcedural |
	statement.TagMaintenance | statement.TagTransaction | statement.TagSession

// report prints recall and precision.
func report(t *testing.T, name string, all []comparison) {
	t.Helper()
	var out strings.Builder
	failed, mute, unmarked := 0, 0, 0
	for i := range all {
		if all[i].failed {
			failed++
		}
		if all[i].class|all[i].hiddenClass == 0 {
			mute++
		}
		if all[i].unmarked() {
			unmarked++
		}
	}
	fmt.Fprintf(&out, "%s: %d items, %d of them with an error, %d that pgAudit says nothing of, "+
		"%d that do more out of sight\n", name, len(all), failed, mute, unmarked)
	fmt.Fprintf(&out, "%-14s %6s %6s %8s %7s %8s %7s %10s\n", "", "said", "found", "dark", "missed", "recall", "beyond", "precision")
	row := func(what string, s score) {
		if s.said+s.beyond > 0 {
			fmt.Fprintf(&out, "%-14s %6d %6d %8d %7d %7.2f%% %7d %9.2f%%\n", what, s.said, s.found, s.dark,
				s.said-s.found-s.dark, s.recall(), s.beyond, s.precision())
		}
	}
	for i, what := range statement.ClassNames() {
		if class := statement.Class(1) << i; class != statement.Unknown {
			row(what, scoreOf(all, func(c *comparison) (said, recorded bool) { return c.class&class != 0, c.recorded&class != 0 }))
		}
	}
	for i, what := range statement.TagNames() {
		if tag := statement.Tag(1) << i; tag&judged != 0 {
			row(what, scoreOf(all, func(c *comparison) (said, recorded bool) { return c.tags&tag != 0, c.recordedTags&tag != 0 }))
		}
	}
	t.Log("\n" + out.String())
}

func scoreOf(all []comparison, of func(*comparison) (said, recorded bool)) score {
	var s score
	for i := range all {
		c := &all[i]
		said, recorded := of(c)
		s.add(said, recorded, c.dark(), c.failed)
	}
	return s
}

// dark tells if the record says that more may happen than it can tell.
func (c *comparison) dark() bool {
	return c.recorded&statement.Unknown != 0 || c.recordedTags&statement.TagDynamicSQL != 0
}

// missed returns what the server says of an item's own text, and the record does
// not.
func (c *comparison) missed() (statement.Class, statement.Tag) {
	if c.dark() {
		return 0, 0
	}
	return c.class &^ c.recorded, c.tags &^ c.recordedTags
}

// unmarked tells if something happens out of the proxy's sight that the record
// does not even hint at.
func (c *comparison) unmarked() bool {
	const hints = statement.Function
	return c.hiddenClass&^c.recorded != 0 && c.recorded&hints == 0 && !c.dark()
}

func (c *comparison) describe() string {
	return fmt.Sprintf("%s: %s\n\tthe server says %s (%s), hidden %s (%s); the record says %s (%s)", c.item.where, c.item,
		c.class, c.tags, c.hiddenClass, c.hiddenTags, c.recorded, c.recordedTags)
}

// mustFind fails the test for what the record misses.
func mustFind(t *testing.T, all []comparison) {
	t.Helper()
	for i := range all {
		c := &all[i]
		class, tags := c.missed()
		if c.recorded&statement.Unknown == 0 {
			class |= c.item.class &^ c.recorded
			tags |= c.item.tags &^ c.recordedTags
		}
		if class != 0 || tags != 0 {
			t.Errorf("missed %s (%s)\n%s", class, tags, c.describe())
		}
	}
}

// beyond prints what the record says beyond the server, by the command that it is
// said of.
func beyond(t *testing.T, all []comparison) {
	t.Helper()
	counts := map[string]int{}
	for i := range all {
		c := &all[i]
		if c.failed {
			continue
		}
		for _, class := range (c.recorded &^ c.class).Names() {
			counts[class+" of "+c.item.first()]++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		t.Log("beyond: ", what, counts[what])
	}
}

// first returns the item's first words.
func (i *item) first() string {
	words := strings.Fields(i.steps[0])
	return strings.Join(words[:min(len(words), 4)], " ")
}
