package oracle

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// sender sends items over one session through the proxy.
type sender struct {
	tb   testing.TB
	dsn  string
	name string // application_name
	conn *pgconn.HijackedConn
	wire *pgproto3.Frontend
}

const patience = 30 * time.Second

func (s *sender) connect() {
	s.tb.Helper()
	config, err := pgconn.ParseConfig(s.dsn)
	if err != nil {
		s.tb.Fatal(err)
	}
	config.RuntimeParams["application_name"] = s.name
	config.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {}
	ctx, stop := context.WithTimeout(s.tb.Context(), patience)
	defer stop()
	c, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		s.tb.Fatal(err)
	}
	if s.conn, err = c.Hijack(); err != nil {
		s.tb.Fatal(err)
	}
	s.wire = pgproto3.NewFrontend(s.conn.Conn, s.conn.Conn)
}

func (s *sender) close() {
	if s.conn != nil {
		s.wire.Send(&pgproto3.Terminate{})
		_ = s.wire.Flush()
		_ = s.conn.Conn.Close()
		s.conn = nil
	}
}

// mark is what goes ahead of item n: a Query that does nothing, not even in a
// failed transaction. The record of it has the trace id.
func mark(n int) string { return fmt.Sprintf(markFormat, n) }

const markFormat = "/*traceparent='00-0ac1e0000000000000000000%08x-0ac1e00000000000-01'*/"

// none is the number of no item.
const none = 1<<31 - 1

// marked returns the number of the item that a mark goes ahead of.
func marked(text string) (n int, ok bool) {
	_, err := fmt.Sscanf(text, markFormat, &n)
	return n, err == nil
}

// send sends an item, and tells if an error came of it. A session that is lost is
// replaced.
func (s *sender) send(n int, i *item) (failed bool) {
	if s.conn == nil {
		s.connect()
	}
	_ = s.conn.Conn.SetDeadline(time.Now().Add(patience))
	if i.open {
		for _, sql := range []string{mark(none), "ROLLBACK", "RESET SESSION AUTHORIZATION", "DISCARD ALL", "BEGIN"} {
			s.wire.Send(&pgproto3.Query{String: sql})
			if err := s.settle(nil); err != nil {
				s.tb.Fatalf("%s: %v", sql, err)
			}
		}
	}
	s.wire.Send(&pgproto3.Query{String: mark(n)})
	if s.settle(nil) != nil {
		s.lose()
		s.connect()
		s.wire.Send(&pgproto3.Query{String: mark(n)})
		if err := s.settle(nil); err != nil {
			s.tb.Fatal(err)
		}
	}
	for at := range i.steps {
		if strings.HasPrefix(i.steps[at], copied) {
			continue // it was the answer to the step before
		}
		wait := s.step(i.steps[at])
		if !wait && at < len(i.steps)-1 {
			continue
		}
		if err := s.settle(i.steps[at+1:]); errors.Is(err, errLost) {
			s.lose()
			return true
		} else if err != nil {
			failed = true
		}
	}
	return failed
}

func (s *sender) lose() {
	_ = s.conn.Conn.Close()
	s.conn = nil
}

// step queues what one step sends, and tells if ReadyForQuery comes of it.
func (s *sender) step(text string) bool {
	message, ok := strings.CutPrefix(text, "> ")
	switch {
	case ok:
		return s.message(message)
	case strings.Contains(text, "$1") && !strings.Contains(text, "$$") && !strings.HasPrefix(text, "PREPARE"):
		return s.extended(text)
	default:
		s.wire.Send(&pgproto3.Query{String: text})
		return true
	}
}

// extended executes a statement with NULL for each of its parameters.
func (s *sender) extended(text string) bool {
	s.wire.Send(&pgproto3.Parse{Query: text})
	s.wire.Send(&pgproto3.Describe{ObjectType: 'S'})
	s.wire.Send(&pgproto3.Sync{})
	if err := s.wire.Flush(); err != nil {
		return true
	}
	parameters := 0
	for {
		m, err := s.wire.Receive()
		if err != nil {
			return true
		}
		switch m := m.(type) {
		case *pgproto3.ParameterDescription:
			parameters = len(m.ParameterOIDs)
		case *pgproto3.ReadyForQuery:
			s.wire.Send(&pgproto3.Bind{Parameters: make([][]byte, parameters)})
			s.wire.Send(&pgproto3.Execute{})
			s.wire.Send(&pgproto3.Sync{})
			return true
		}
	}
}

// message queues a message of the extended protocol, or a function call:
//
//	Parse NAME SQL | Bind PORTAL NAME [PARAMETER…] | Describe S|P NAME | Execute PORTAL [ROWS] |
//	Close S|P NAME | Sync | Call OID [ARGUMENT…]
//
// A dash stands for the empty name. Copy DATA is what answers a CopyInResponse.
func (s *sender) message(text string) (ready bool) {
	word, rest, _ := strings.Cut(text, " ")
	args := strings.Fields(rest)
	name := func(i int) string {
		if i >= len(args) || args[i] == "-" {
			return ""
		}
		return args[i]
	}
	switch word {
	case "Parse":
		_, sql, _ := strings.Cut(rest, " ")
		s.wire.Send(&pgproto3.Parse{Name: name(0), Query: sql})
	case "Bind":
		s.wire.Send(&pgproto3.Bind{DestinationPortal: name(0), PreparedStatement: name(1), Parameters: values(args, 2)})
	case "Describe":
		s.wire.Send(&pgproto3.Describe{ObjectType: args[0][0], Name: name(1)})
	case "Execute":
		rows, _ := strconv.Atoi(name(1))
		s.wire.Send(&pgproto3.Execute{Portal: name(0), MaxRows: uint32(rows)})
	case "Close":
		s.wire.Send(&pgproto3.Close{ObjectType: args[0][0], Name: name(1)})
	case "Sync":
		s.wire.Send(&pgproto3.Sync{})
		return true
	case "Call":
		oid, _ := strconv.Atoi(args[0])
		s.wire.Send(&pgproto3.FunctionCall{Function: uint32(oid), Arguments: values(args, 1)})
		return true
	default:
		s.tb.Fatalf("unknown message %q", text)
	}
	return false
}

const copied = "> Copy "

func values(args []string, from int) [][]byte {
	var out [][]byte
	for i := from; i < len(args); i++ {
		out = append(out, []byte(args[i]))
	}
	return out
}

var errLost = errors.New("the session was lost")

// settle sends what is queued and reads up to ReadyForQuery.
func (s *sender) settle(next []string) error {
	if s.wire.Flush() != nil {
		return errLost
	}
	var failure error
	for {
		m, err := s.wire.Receive()
		if err != nil {
			return errLost
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			failure = fmt.Errorf("%s: %s", m.Code, m.Message)
			if m.Severity == "FATAL" {
				return errLost
			}
		case *pgproto3.CopyInResponse:
			s.copy(next)
		case *pgproto3.ReadyForQuery:
			return failure
		}
	}
}

// copy answers a CopyInResponse with the data of the item's next step.
func (s *sender) copy(next []string) {
	if len(next) == 0 || !strings.HasPrefix(next[0], copied) {
		s.wire.Send(&pgproto3.CopyFail{Message: "no data"})
	} else {
		s.wire.Send(&pgproto3.CopyData{Data: []byte(strings.TrimPrefix(next[0], copied) + "\n")})
		s.wire.Send(&pgproto3.CopyDone{})
	}
	_ = s.wire.Flush()
}
