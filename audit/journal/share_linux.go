package journal

import "github.com/pgcustos/pgcustos/audit"

// shared returns where the fields of a session stand that the next record can refer to
// instead of having them itself; 0: nowhere.
func (s *segment) shared(p *audit.Prepared) int64 {
	if p == nil || p.Segment != s.number || p.Offset/shareBlock != s.pos/shareBlock {
		return 0
	}
	return p.Offset
}

// share lets later records refer to the one at pos, which has all fields of its session.
func (s *segment) share(p *audit.Prepared) {
	if ofSession(p.Fields) {
		p.Segment, p.Offset = s.number, s.pos
	}
}
