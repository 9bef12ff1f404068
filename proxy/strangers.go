package proxy

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/audit"
)

// strangers records what happens before authentication, folded by source and
// cause: the first of its kind at once, those of the next ten seconds as one
// record with their count. So a flood costs the journal a bounded number of
// records; nothing else is folded.
type strangers struct {
	server *Server

	mu   sync.Mutex
	seen map[stranger]*sighting

	guesses guesses // of cancel keys, in this period
}

type stranger struct {
	source netip.Addr
	cause  string
}

type sighting struct {
	own int // that are on record each by itself, of refusals
	// incident is that of the last of these.
	incident string
	again    uint64 // beyond those that are on record
	detail   string
	source   netip.AddrPort
}

const (
	foldPeriod = 10 * time.Second
	// mostStrangers bounds the sources that are told apart in one period.
	mostStrangers = 1024
)

func newStrangers(s *Server) *strangers {
	return &strangers{server: s, seen: make(map[stranger]*sighting)}
}

// note tells of a connection that never came to authentication.
func (s *strangers) note(source netip.AddrPort, cause, detail string) {
	s.server.metrics.Connections.WithLabelValues(cause).Inc()
	if !s.first(source, cause, detail) {
		return
	}
	s.write(source, cause, detail, 1)
}

// first notes a connection, and reports whether it is the first of its kind in this
// period.
func (s *strangers) first(source netip.AddrPort, cause, detail string) bool {
	_, again := s.again(source, cause, detail, "", 0)
	return !again
}

// mostRefusals is how many refusals of one source, for one cause, are on record each by
// itself in one period, where they are nobody's or no password was tried.
const mostRefusals = 10

// refusedAgain notes a log-in that was refused so, and reports whether there were so many
// that this one is only counted: then it belongs to the incident of one that is on record,
// and the client is told that.
func (s *strangers) refusedAgain(source netip.AddrPort, cause, detail, incident string) (onRecord string, again bool) {
	return s.again(source, cause, detail, incident, mostRefusals-1)
}

// again reports whether something is no more than counted: not the first of its kind in
// this period, nor one of so many more.
func (s *strangers) again(source netip.AddrPort, cause, detail, incident string, more int) (onRecord string, again bool) {
	key := stranger{source.Addr(), cause}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) >= mostStrangers && s.seen[key] == nil {
		key.source, source, detail = netip.Addr{}, netip.AddrPort{}, "from many addresses"
	}
	known := s.seen[key]
	switch {
	case known == nil:
		s.seen[key] = &sighting{detail: detail, source: source, incident: incident}
		return incident, false
	case known.own < more:
		known.own++
		known.incident = incident
		return incident, false
	default:
		known.again++
		known.detail = detail
		return known.incident, true
	}
}

// wrongKey counts a cancel key that was guessed wrong, and reports whether the
// source has guessed too often.
func (s *strangers) wrongKey(source netip.AddrPort) {
	s.guesses.wrong(source.Addr())
	s.note(source, "cancel_key_unknown", "")
}

func (s *strangers) barred(source netip.AddrPort) bool {
	return s.guesses.barred(source.Addr(), s.server.regulars.Has(source.Addr()))
}

// run writes the counts of each period until ctx ends.
func (s *strangers) run(ctx context.Context) {
	for pause(ctx, foldPeriod) {
		s.flush()
		s.server.tellRefusals(false)
	}
	s.flush()
	s.server.tellRefusals(true)
}

func (s *strangers) flush() {
	s.mu.Lock()
	seen := s.seen
	s.seen = make(map[stranger]*sighting)
	s.mu.Unlock()
	s.guesses.forget()
	for key, sight := range seen {
		if sight.again > 0 {
			s.write(sight.source, key.cause, sight.detail, sight.again)
		}
	}
}

func (s *strangers) write(source netip.AddrPort, cause, detail string, count uint64) {
	_, err := s.server.recorder.Record(&audit.Event{
		Type: audit.Connection, Decision: audit.Denied, Cause: cause, Detail: detail, Count: count,
		Context: &audit.Context{Source: audit.Source{Address: source}},
	})
	if err != nil {
		s.server.log.Error("record", "type", audit.Connection, "error", err)
	}
}
