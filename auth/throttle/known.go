package throttle

import (
	"net/netip"
	"slices"
)

const (
	// mostKnown bounds the accounts in a generation, knownEach the addresses of one.
	mostKnown = 1 << 14
	knownEach = 8
)

// known remembers from where accounts have logged in lately: the addresses of each
// that were used last, in two generations of accounts.
type known struct{ young, old map[string][]netip.Prefix }

func (k *known) has(account string, source netip.Prefix) bool {
	return slices.Contains(k.young[account], source) || slices.Contains(k.old[account], source)
}

func (k *known) add(account string, source netip.Prefix) {
	list, young := k.young[account]
	if !young {
		list = k.old[account]
		if k.young == nil || len(k.young) >= mostKnown {
			k.old, k.young = k.young, make(map[string][]netip.Prefix)
		}
	}
	list = slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return p == source })
	if len(list) >= knownEach {
		list = list[1:]
	}
	k.young[account] = append(list, source)
}
