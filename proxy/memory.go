package proxy

import (
	"context"
	"time"
)

// memoryPeriod is how often the memory in use is looked at.
const memoryPeriod = 100 * time.Millisecond

// relief is how long sessions that end may take to give their memory back.
const relief = time.Second

// patience is how long nobody new may be let in for want of memory before sessions end.
const patience = 10 * time.Second

// The percentages of sessions that end at once, of those that hold memory, beyond the
// budget and near it. One at least does in each loop.
const (
	endBeyond = 10
	endNear   = 0
)

// keepMemory looks at the memory in use until ctx ends. While there is more than the
// budget has, the sessions that hold most end, some at each look; while so little is left
// that somebody who comes is turned away, one by one, when that has lasted.
func (s *Server) keepMemory(ctx context.Context) {
	if s.memory == nil {
		return
	}
	var roomy time.Time // when there was room for somebody new
	for pause(ctx, memoryPeriod) {
		exceeded := s.memory.Exceeded()
		if !s.memory.Crowded() {
			roomy = time.Now()
			s.keptOut.Store(false)
		}
		switch {
		case s.loops == nil:
			continue
		case exceeded:
			s.log.Warn("the memory's budget is used up: ending the sessions that hold most", "used", s.memory.Used(), "limit", s.memory.Limit())
			s.loops.Relieve(endBeyond)
		case s.keptOut.Load() && time.Since(roomy) > patience:
			s.log.Warn("the memory left is too little for new connections, and stays so: ending the sessions that hold most", "used", s.memory.Used(), "limit", s.memory.Limit())
			s.loops.Relieve(endNear)
		default:
			continue
		}
		if !pause(ctx, relief) {
			return
		}
	}
}
