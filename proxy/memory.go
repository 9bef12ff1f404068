package proxy

import (
	"context"
	"time"
)

// memoryPeriod is how often the memory in use is looked at.
const memoryPeriod = 100 * time.Millisecond

// relief is how long sessions that end may take to give their memory back.
const relief = time.Second

// keepMemory looks at the memory in use until ctx ends. While there is more than the
// budget has, the sessions that hold most end, some at each look.
func (s *Server) keepMemory(ctx context.Context) {
	if s.memory == nil {
		return
	}
	for pause(ctx, memoryPeriod) {
		if !s.memory.Exceeded() || s.loops == nil {
			continue
		}
		s.log.Warn("the memory's budget is used up: ending the sessions that hold most", "used", s.memory.Used(), "limit", s.memory.Limit())
		s.loops.Relieve()
		if !pause(ctx, relief) {
			return
		}
	}
}
