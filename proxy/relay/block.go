package relay

import (
	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// MayBlock reports whether Client may wait for a file while it goes through in: a text
// beyond audit.InlineText is kept in one, also when a statement of it is executed
// again, and so are parameters that are recorded in full, whose size as text nobody
// knows before. At times the recorder waits, too. It is called from where Client is.
func (m *Machine) MayBlock(in []byte) bool {
	if m.opt.MayWait != nil && m.opt.MayWait() {
		return true
	}
	full := m.grant.Load().Record.Parameters == auth.RecordFull
	if len(in) <= audit.InlineText && !full && !m.long {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client.left > 0 && m.client.binds {
		return true
	}
	for pos := m.client.left; pos+pgwire.HeaderSize <= len(in); {
		typ, size, _ := pgwire.Header(in[pos:])
		if size < pgwire.MinSize {
			return false
		}
		long := size > audit.InlineText
		m.long = m.long || long && typ == pgwire.Parse
		switch {
		case long && (typ == pgwire.Query || typ == pgwire.Parse),
			full && (typ == pgwire.Bind || typ == pgwire.FunctionCall),
			m.long && typ == pgwire.Execute:
			return true
		}
		pos += size
	}
	return false
}
