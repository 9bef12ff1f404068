package statement

import (
	"slices"
	"testing"
)

// Principals take turns, whoever came first; of one the first that came is first.
func TestLine(t *testing.T) {
	var l line
	names := map[chan *worker]string{}
	join := func(principal, name string) chan *worker {
		c := l.join(principal)
		names[c] = name
		return c
	}
	for _, name := range []string{"a1", "a2", "a3", "a4"} {
		join("a", name)
	}
	join("b", "b1")
	gone := join("c", "c1")
	join("b", "b2")
	l.leave("c", gone)
	l.leave("c", gone)
	var got []string
	for c := l.next(); c != nil; c = l.next() {
		got = append(got, names[c])
		if len(got) == 3 {
			join("d", "d1")
		}
	}
	if want := []string{"a1", "b1", "a2", "b2", "a3", "d1", "a4"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if l.size != 0 || len(l.waits) != 0 || len(l.turns) != 0 {
		t.Errorf("left over: %+v", l)
	}
}
