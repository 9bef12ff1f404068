package wire

import (
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// TestRowsOfAPortalInParts: a client that takes the rows of a query in parts, as drivers
// with a fetch size do, has all of them on record, and not those of the last part alone.
func TestRowsOfAPortalInParts(t *testing.T) {
	site := testkit.SharedSite(t)
	const name = "wire rows in parts"
	conn, err := connect(t.Context(), dsn(site, "", true), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	const text = "SELECT g FROM generate_series(1, 10) g"
	conn.Frontend.Send(&pgproto3.Parse{Query: text})
	conn.Frontend.Send(&pgproto3.Bind{})
	for range 4 {
		conn.Frontend.Send(&pgproto3.Execute{MaxRows: 3})
	}
	conn.Frontend.Send(&pgproto3.Sync{})
	conn.Frontend.Send(&pgproto3.Terminate{})
	if err := conn.Frontend.Flush(); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for {
		m, err := conn.Frontend.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m.(type) {
		case *pgproto3.DataRow:
			rows++
			continue
		case *pgproto3.ReadyForQuery:
		default:
			continue
		}
		break
	}
	_ = conn.Conn.Close()
	plays := newPlayed()
	plays.add(name, &transcript{})
	var seq uint64
	for _, r := range ended(t, site, plays)[name] {
		switch {
		case r.Type == audit.Statement && r.Text == text:
			seq = r.Sequence
		case r.Type == audit.Outcome && r.Statement == seq && r.Rows != int64(rows):
			t.Errorf("%d rows are on record, %d were given", r.Rows, rows)
		}
	}
	if seq == 0 || rows != 10 {
		t.Errorf("statement %d gave %d rows", seq, rows)
	}
}
