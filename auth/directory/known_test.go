package directory

import (
	"context"
	"encoding/binary"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestKnownGroups has groups renamed, moved, and deleted while their names are known to
// log-ins, and their names given to others.
func TestKnownGroups(t *testing.T) {
	d, dc := openShared(t)
	ctx, names := t.Context(), &d.fleet.list[0].names
	must(t, dc.CreateGroup(ctx, "Known-First"))
	must(t, dc.CreateUser(ctx, "k-old", watchedPassword, "Known-First"))
	must(t, dc.CreateUser(ctx, "k-new", watchedPassword))
	text, err := dc.SID(ctx, "Known-First")
	must(t, err)
	sid, err := sidBytes(text)
	must(t, err)
	is := func(account, group string) bool {
		t.Helper()
		id, err := authenticate(t, d, account, watchedPassword)
		must(t, err)
		return groupNames(id)[group]
	}
	known := func() bool {
		_, found := names.recall(sid)
		return found
	}
	if !is("k-old", "Known-First") || known() {
		t.Error("a name is known that nobody watches")
	}
	watching, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer func() { stop(); work.Wait() }()
	work.Go(func() { d.Watch(watching, newRoll()) })
	until(t, "the name is known", func() bool { return is("k-old", "Known-First") && known() })
	until(t, "it is taken", func() bool {
		names.learn(names.begin(), sid, &auth.Group{SID: text, Name: "as-it-is-known"})
		return is("k-old", "as-it-is-known")
	})

	// Another group gets its name: who is in that has it at once, who was in the old one
	// until the change is told.
	must(t, dc.SetAttribute(ctx, "Known-First", "sAMAccountName", "Known-Renamed"))
	until(t, "the group's other name", func() bool { return is("k-old", "Known-Renamed") })
	must(t, dc.CreateGroup(ctx, "Known-Again"))
	must(t, dc.SetAttribute(ctx, "Known-Again", "sAMAccountName", "Known-First"))
	must(t, dc.AddToGroup(ctx, "k-new", "Known-First"))
	until(t, "who is in the new group", func() bool { return is("k-new", "Known-First") })
	if is("k-old", "Known-First") || is("k-new", "Known-Renamed") {
		t.Error("who is in one group has the other's name")
	}

	until(t, "the name is known again", func() bool { return is("k-old", "Known-Renamed") && known() })
	must(t, dc.Move(ctx, "Known-Renamed", "People"))
	until(t, "its other place", func() bool {
		id, err := authenticate(t, d, "k-old", watchedPassword)
		must(t, err)
		for _, g := range id.Groups {
			if g.SID == text {
				return strings.Contains(g.DN, "OU=People")
			}
		}
		return false
	})

	// A group that is gone is nobody's at once, and another one of its name is another.
	until(t, "the name is known once more", func() bool { return is("k-old", "Known-Renamed") && known() })
	must(t, dc.Delete(ctx, "Known-Renamed"))
	if is("k-old", "Known-Renamed") {
		t.Error("who was in a group that is gone has it still")
	}
	must(t, dc.CreateGroup(ctx, "Known-Renamed"))
	if is("k-old", "Known-Renamed") {
		t.Error("who was in a group that is gone is in another one of its name")
	}

	must(t, dc.AddToGroup(ctx, "k-old", testkit.GroupAuditors))
	until(t, "a name is known before the watch ends", func() bool {
		is("k-old", testkit.GroupAuditors)
		names.mu.Lock()
		defer names.mu.Unlock()
		return len(names.groups) > 0
	})
	stop()
	work.Wait()
	if len(names.groups) > 0 || time.Now().Before(names.trusted) {
		t.Error("names are known behind the end of the watch")
	}
}

// TestKnown: what was asked before a change is not kept, and nothing is taken that has
// not been confirmed lately, or is old.
func TestKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, g := &known{}, auth.Group{SID: "S-1-5-21-1-2-3-513", Name: "Domain Users"}
		sid, err := sidBytes(g.SID)
		must(t, err)
		wants := func(when string, want bool) {
			t.Helper()
			if got, found := k.recall(sid); found != want || found && got != g {
				t.Errorf("%s: %+v, %v", when, got, found)
			}
		}
		k.learn(k.begin(), sid, &g)
		wants("nobody watches", false)
		k.confirm(time.Now())
		k.learn(k.begin(), sid, &g)
		wants("watched", true)
		before := k.begin()
		k.forget()
		wants("changed", false)
		k.learn(before, sid, &g)
		wants("asked for before the change", false)
		k.learn(k.begin(), sid, &g)
		time.Sleep(trustFor)
		wants("the watch is silent", false)
		k.confirm(time.Now())
		wants("the watch found nothing", true)
		time.Sleep(knownFor - trustFor)
		k.confirm(time.Now())
		wants("old", false)
		k.distrust()
		k.learn(k.begin(), sid, &g)
		wants("the watch is over", false)
		k.confirm(time.Now())
		for i := range uint32(mostKnown + 10) {
			k.learn(k.begin(), binary.BigEndian.AppendUint32(nil, i), &g)
		}
		if len(k.groups) != mostKnown {
			t.Errorf("%d are known", len(k.groups))
		}
	})
	var nothing *known
	nothing.learn(nothing.begin(), nil, nil)
	if _, found := nothing.recall(nil); found {
		t.Error("nothing knows something")
	}
}
