package proxy

import "testing"

// turns is how many turns pass until the session is looked at; -1 for never.
func turns(r *rota, c *session) int {
	for n := 1; n <= 2*len(r.slots); n++ {
		for _, due := range r.turn(nil) {
			if due == c {
				return n
			}
		}
	}
	return -1
}

func TestRota(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(r *rota, c *session)
		want int
	}{
		"nothing":                {func(*rota, *session) {}, -1},
		"at once":                {func(r *rota, c *session) { r.put(c, 0) }, 1},
		"overdue":                {func(r *rota, c *session) { r.put(c, -watchPeriod) }, 1},
		"not late":               {func(r *rota, c *session) { r.put(c, 3*watchPeriod-1) }, 2},
		"in time":                {func(r *rota, c *session) { r.put(c, 3*watchPeriod) }, 3},
		"at the horizon":         {func(r *rota, c *session) { r.put(c, 1000*watchPeriod) }, rotaSlots - 1},
		"put again":              {func(r *rota, c *session) { r.put(c, horizon); r.put(c, 2*watchPeriod) }, 2},
		"in a hurry":             {func(r *rota, c *session) { r.put(c, horizon); r.hurry(c) }, 1},
		"in a hurry meanwhile":   {func(r *rota, c *session) { r.put(c, 0); r.turn(nil); r.hurry(c); r.put(c, horizon) }, 1},
		"in a hurry before":      {func(r *rota, c *session) { r.hurry(c); r.put(c, horizon) }, 1},
		"dropped":                {func(r *rota, c *session) { r.put(c, 0); r.drop(c) }, -1},
		"dropped meanwhile":      {func(r *rota, c *session) { r.put(c, 0); r.turn(nil); r.drop(c); r.put(c, 0) }, -1},
		"dropped, then a hurry":  {func(r *rota, c *session) { r.put(c, 0); r.drop(c); r.hurry(c) }, -1},
		"the end of the circle":  {func(r *rota, c *session) { r.now = rotaSlots - 2; r.put(c, 4*watchPeriod) }, 4},
		"looked at and put back": {func(r *rota, c *session) { r.put(c, 0); r.turn(nil); r.put(c, 5*watchPeriod) }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := &rota{}, &session{}
			c.do(r, s)
			if got := turns(r, s); got != c.want {
				t.Errorf("looked at after %d turns, want %d", got, c.want)
			}
		})
	}
}
