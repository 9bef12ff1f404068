package directory

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// looksAtOnce is how many entries are looked at in one round, by chunk in one
// search. The others have their turn in the next.
const looksAtOnce = 4 * chunk

// What a look shows of an account. None of it is computed by the controller, which
// makes it five times as cheap as reading the account.
var lookAttributes = []string{
	"objectGUID", "sAMAccountName", "userPrincipalName", "userAccountControl", "lockoutTime", "accountExpires", "pwdLastSet",
}

// look looks at accounts, and at the groups that they are in, and returns the
// accounts that are not as they were. Those that are, it confirms.
func (p *post) look(ctx context.Context, accounts, guests []auth.Identity) ([]auth.Identity, error) {
	different := make(map[string]bool)
	if err := p.lookAtAccounts(ctx, accounts, different); err != nil {
		return nil, err
	}
	all := slices.Concat(accounts, guests)
	if err := p.lookAtGroups(ctx, all, different); err != nil {
		return nil, err
	}
	return those(all, different), nil
}

// those returns the accounts with these keys.
func those(accounts []auth.Identity, keys map[string]bool) []auth.Identity {
	return slices.DeleteFunc(slices.Clone(accounts), func(id auth.Identity) bool { return !keys[id.Key()] })
}

func (p *post) lookAtAccounts(ctx context.Context, accounts []auth.Identity, different map[string]bool) error {
	guids, keys := make([]string, len(accounts)), make(map[string]string, len(accounts))
	for i := range accounts {
		guids[i] = accounts[i].GUID
		keys[guids[i]] = accounts[i].Key()
		p.watch.sighting(guids[i])
	}
	var same []string
	for some := range slices.Chunk(turn(guids, p.watch.seen), chunk) {
		found, err := p.find(ctx, "objectGUID", some, guidBytes, lookAttributes)
		if err != nil {
			return err
		}
		for _, guid := range some {
			if p.watch.seen[guid].show(found[guid]) {
				same = append(same, keys[guid])
			} else {
				different[keys[guid]] = true
			}
		}
	}
	p.watch.roll.Confirmed(same)
	return nil
}

// lookAtGroups finds groups that are gone, or have another name: their members are
// not told of as changed.
func (p *post) lookAtGroups(ctx context.Context, accounts []auth.Identity, different map[string]bool) error {
	members := make(map[string][]string)
	for i := range accounts {
		for _, g := range accounts[i].Groups {
			if g.DN == "" || g.Domain != p.watch.d.options.Domain {
				continue // of another domain
			}
			members[g.SID] = append(members[g.SID], accounts[i].Key())
			if p.watch.groups[g.SID] == nil {
				p.watch.groups[g.SID] = &sighting{print: g.DN}
			}
		}
	}
	maps.DeleteFunc(p.watch.groups, func(sid string, _ *sighting) bool { return members[sid] == nil })
	for some := range slices.Chunk(turn(slices.Collect(maps.Keys(members)), p.watch.groups), chunk) {
		found, err := p.find(ctx, "objectSid", some, sidBytes, []string{"objectSid"})
		if err != nil {
			return err
		}
		for _, sid := range some {
			if p.watch.groups[sid].show(found[sid]) {
				continue
			}
			p.controller.names.forget()
			for _, key := range members[sid] {
				different[key] = true
			}
		}
	}
	return nil
}

// show notes what a look showed, and reports whether it is what the last one did.
func (s *sighting) show(print string) bool {
	same := s.print == print && print != ""
	s.print, s.at = print, time.Now()
	return same
}

// turn returns those of the keys that were not looked at for the longest time.
func turn(keys []string, seen map[string]*sighting) []string {
	if len(keys) > looksAtOnce {
		slices.SortFunc(keys, func(a, b string) int { return seen[a].at.Compare(seen[b].at) })
		keys = keys[:looksAtOnce]
	}
	return keys
}

// find returns a print of each entry that is there, by its key.
func (p *post) find(ctx context.Context, attribute string, keys []string, encode func(string) ([]byte, error), attributes []string) (map[string]string, error) {
	var filter strings.Builder
	filter.WriteString("(|")
	for _, key := range keys {
		b, err := encode(key)
		if err != nil {
			continue // it is not there, then
		}
		filter.WriteString("(" + attribute + "=" + escape(b) + ")")
	}
	filter.WriteString(")")
	d := p.watch.d
	entries, err := d.search(ctx, p.conn, d.base, ldap.ScopeWholeSubtree, filter.String(), attributes)
	var gone *unreachable
	switch {
	case errors.As(err, &gone):
		return nil, err
	case err != nil:
		// What it will not tell of, it has to tell of one by one.
		d.log.Warn("the accounts of live sessions cannot be looked at together", "error", err)
	}
	found := make(map[string]string, len(entries))
	for _, e := range entries {
		raw := e.GetEqualFoldRawAttributeValue(attribute)
		var key string
		if attribute == "objectGUID" {
			key, err = guidText(raw)
		} else {
			key, err = sidText(raw)
		}
		if err == nil {
			found[key] = printOf(e, attributes)
		}
	}
	return found, nil
}

// printOf is what an entry shows, as one text.
func printOf(e *ldap.Entry, attributes []string) string {
	if len(attributes) == 1 {
		return e.DN
	}
	var b strings.Builder
	b.WriteString(e.DN)
	for _, a := range attributes[1:] {
		b.WriteString("\x00" + e.GetEqualFoldAttributeValue(a))
	}
	return b.String()
}
