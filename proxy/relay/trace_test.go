package relay

import (
	"fmt"
	"testing"
)

func traced(n int) string {
	return fmt.Sprintf("/*traceparent='00-%032x-%016x-01'*/", n, n)
}

// What a comment claims stands in the record of its statement, and of what is
// executed from it later; not in those that come behind.
func TestTrace(t *testing.T) {
	h := newHarness(t)
	h.client(query("SELECT 1 "+traced(1)), query("SELECT '"+traced(9)+"'"), query("garbage "+traced(2)))
	h.recorded(
		`1 statement allowed READ "SELECT 1 `+traced(1)+`" trace=01/01`,
		`2 statement allowed READ "SELECT '`+traced(9)+`'"`,
		`3 statement denied UNKNOWN "garbage `+traced(2)+`" trace=02/02 syntax class UNKNOWN`)
	h.client(parse("s", "INSERT x "+traced(3)), bind("p", "s"), execute("p", 0), query("SELECT 2"), bind("p", "s"), execute("p", 0), syncMsg)
	h.recorded(
		`4 statement.prepare allowed WRITE "INSERT x `+traced(3)+`" trace=03/03`,
		`5 statement allowed WRITE "INSERT x `+traced(3)+`" trace=03/03`,
		`6 statement allowed READ "SELECT 2"`,
		`7 statement allowed WRITE "INSERT x `+traced(3)+`" trace=03/03`)
}

// Of several statements in a Query each has its own, or the last.
func TestTraceOfSeveral(t *testing.T) {
	h := newHarness(t)
	h.client(query("SELECT 1 " + traced(1) + "; SELECT 2; SELECT 3 " + traced(3)))
	h.recorded(
		`1 statement allowed READ "SELECT 1 `+traced(1)+`" 1/3 trace=01/01`,
		`2 statement allowed READ "SELECT 2" 2/3 trace=03/03`,
		`3 statement allowed READ "SELECT 3 `+traced(3)+`" 3/3 trace=03/03`)
}
