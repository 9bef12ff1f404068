package driver

// key names a descriptor in an event: the slot of its session with the side, and the
// slot's age, by which an event of a session that left is known.
type key struct{ slot, age int32 }

// wakeKey is of the descriptor that others wake the loop with.
var wakeKey = key{slot: -1}

// side is an end of a session.
type side uint8

const (
	clientSide side = iota
	backendSide
)

func (k key) side() side { return side(k.slot & 1) }

// table holds a loop's sessions.
type table struct {
	slots []slot
	free  []int32
}

type slot struct {
	session *session
	age     int32
}

// add finds a place for a session, and returns the key of its client's side.
func (t *table) add(s *session) key {
	if len(t.free) == 0 {
		t.free = append(t.free, int32(len(t.slots)))
		t.slots = append(t.slots, slot{})
	}
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.slots[i].session = s
	return key{slot: i << 1, age: t.slots[i].age}
}

// of is the key of the other side.
func (k key) of(s side) key { return key{k.slot&^1 | int32(s), k.age} }

// find returns the session of a key; nil where it has left.
func (t *table) find(k key) *session {
	if k.slot < 0 {
		return nil
	}
	if s := &t.slots[k.slot>>1]; s.age == k.age {
		return s.session
	}
	return nil
}

func (t *table) remove(k key) {
	s := &t.slots[k.slot>>1]
	s.session = nil
	s.age++
	t.free = append(t.free, k.slot>>1)
}

// all returns the sessions that are there.
func (t *table) all() []*session {
	var list []*session
	for i := range t.slots {
		if s := t.slots[i].session; s != nil {
			list = append(list, s)
		}
	}
	return list
}
