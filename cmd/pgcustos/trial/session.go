package trial

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// ruling is what a session's grant made of one statement.
type ruling struct {
	decision      audit.Decision
	rule, missing string
	command       string
	class         statement.Class
	tags          statement.Tag
}

// session puts texts to the very machine that relays them, with a backend that
// says yes to all that reaches it.
type session struct {
	judge   statement.Judge
	machine *relay.Machine
	notes   notes
	status  byte // of the transaction, as ReadyForQuery tells it
}

const maxText = 1 << 30

func newSession(judge statement.Judge, g *auth.Grant) *session {
	s := &session{judge: judge, status: 'I'}
	s.machine = relay.New(relay.Options{
		Judge: judge, Recorder: &s.notes, Grant: g, Incident: func() string { return "" }, MaxMessage: maxText,
		Parameters: map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": "on"},
	})
	return s
}

var errAdrift = errors.New("the text cannot be put into a Query message")

// send puts a text to the grant as a Query message, and returns what was made of
// its statements.
func (s *session) send(ctx context.Context, sql string) ([]ruling, error) {
	s.notes.list = s.notes.list[:0]
	message := pgwire.AppendMessage(nil, pgwire.Query, []byte(sql), []byte{0})
	var out relay.Output
	for len(message) > 0 {
		n, next := s.machine.Client(0, message, &out)
		switch next {
		case relay.JudgeText:
			text, encoding := s.machine.Text()
			s.machine.Judged(s.judge.Judge(ctx, text, encoding))
		case relay.More:
		default:
			return nil, errAdrift
		}
		message = message[n:]
		if n == 0 && next == relay.More && len(message) > 0 {
			return nil, errAdrift
		}
	}
	rulings := s.notes.list
	_, err := s.machine.Backend(0, s.answer(rulings), &out)
	return rulings, err
}

// answer is what a server sends that finds nothing wrong with what reaches it.
func (s *session) answer(rulings []ruling) []byte {
	var b []byte
	for _, r := range rulings {
		switch {
		case r.decision == audit.Denied || r.decision == audit.Unavailable:
			if s.status == 'T' {
				s.status = 'E'
			}
			b = pgwire.AppendMessage(nil, pgwire.ErrorResponse, []byte("SERROR\x00VERROR\x00C42601\x00Mx\x00\x00"))
			return pgwire.AppendMessage(b, pgwire.ReadyForQuery, []byte{s.status})
		case r.command == "" && r.class == 0:
			b = pgwire.AppendMessage(b, pgwire.EmptyQueryResponse)
		default:
			b = pgwire.AppendMessage(b, pgwire.CommandComplete, []byte(r.command), []byte{0})
		}
		switch r.command {
		case "BEGIN", "START TRANSACTION":
			s.status = 'T'
		case "COMMIT", "ROLLBACK":
			s.status = 'I'
		}
	}
	return pgwire.AppendMessage(b, pgwire.ReadyForQuery, []byte{s.status})
}

// notes is a recorder that remembers decisions, for as long as one text takes.
type notes struct{ list []ruling }

var _ audit.Recorder = (*notes)(nil)

// Prepare implements audit.Recorder.
func (*notes) Prepare(*audit.Context) *audit.Prepared { return nil }

// Record implements audit.Recorder.
func (n *notes) Record(e *audit.Event) (audit.Receipt, error) {
	if e.Type == audit.Statement {
		n.list = append(n.list, ruling{
			decision: e.Decision, rule: e.Rule, missing: e.Missing, command: e.Command, class: e.Class, tags: e.Tags,
		})
	}
	return audit.Receipt{Sequence: 1}, nil
}

// Keyed implements audit.Store. Nobody asks for a digest here.
func (*notes) Keyed() hash.Hash { return sha256.New() }

// Blob implements audit.Store. No text is kept.
func (*notes) Blob() (audit.BlobWriter, error) { return nil, audit.ErrFull }

// Release implements audit.Recorder.
func (*notes) Release(int) {}

// Wait implements audit.Recorder.
func (*notes) Wait(context.Context, audit.Receipt) error { return nil }
