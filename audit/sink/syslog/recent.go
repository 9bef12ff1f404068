package syslog

import "time"

const (
	recentFor  = 5 * time.Second
	recentSize = 4 << 20 // bytes
)

// recent holds what was sent not long ago: the server's system has it, the server
// itself may not.
type recent struct {
	sent []batch
	size int
}

type batch struct {
	at     time.Time
	frames []byte
}

func (r *recent) add(frames []byte, now time.Time) {
	r.sent = append(r.sent, batch{now, frames})
	r.size += len(frames)
	r.forget(now)
}

func (r *recent) forget(now time.Time) {
	for len(r.sent) > 1 && (r.size > recentSize || now.Sub(r.sent[0].at) > recentFor) {
		r.size -= len(r.sent[0].frames)
		r.sent[0] = batch{}
		r.sent = r.sent[1:]
	}
}

// take returns all frames and forgets them. The last ones are kept however old
// they are: a server may have stopped reading long ago.
func (r *recent) take(now time.Time) []byte {
	r.forget(now)
	var all []byte
	for _, b := range r.sent {
		all = append(all, b.frames...)
	}
	*r = recent{}
	return all
}
