package relay

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// emptiesPath is keepsPrivate where relations without a schema are the system's once
// search_path is empty, or nobody knows where.
func emptiesPath(t *testing.T) *harness {
	t.Helper()
	h := keepsPrivate(t)
	for _, text := range []string{"EMPTY", "SET path", "RESET path"} {
		names(h, statement.MiscSet, text, setting("search_path"))
	}
	h.judge.known["EMPTY"].Statements[0].Effect.Kind = statement.EffectNoPath
	names(h, statement.Read|statement.MiscSet, "SELECT set", setting("search_path"))
	names(h, statement.Misc, "RESET") // ALL
	names(h, statement.Misc, "DISCARD")
	h.judge.known["DISCARD"].Statements[0].Effect.Kind = statement.EffectDiscardAll
	names(h, statement.Function, "SELECT f()")
	two := *h.judge.known["EMPTY"]
	two.Statements = append(two.Statements[:1:1], h.judge.known["SELECT salaries"].Statements...)
	h.judge.known["EMPTY; SELECT salaries"] = &two
	return h
}

func asks(h *harness, text string, answers ...[]byte) {
	h.client(query(text))
	h.backend(answers...)
}

// Once the server has emptied search_path nothing but the system's is found without a schema,
// until something may have changed it.
func TestEmptyPath(t *testing.T) {
	row, end := complete("SELECT 1"), ready('I')
	for name, c := range map[string]struct {
		do   func(h *harness)
		want string
	}{
		"emptied": {func(h *harness) { h.client(query("EMPTY")); h.backend(row, end) }, "allowed"},
		"by SET":  {func(h *harness) { h.client(query("EMPTY")); h.backend(complete("SET"), end) }, "allowed"},
		"for good": {func(h *harness) {
			asks(h, "EMPTY", row, end)
			asks(h, "BEGIN", complete("BEGIN"), ready('T'))
			asks(h, "ROLLBACK", complete("ROLLBACK"), end)
		}, "allowed"},
		"where it was unknown": {func(h *harness) {
			asks(h, "SET path", complete("SET"), end)
			asks(h, "EMPTY", row, end)
		}, "allowed"},
		"unanswered":  {func(h *harness) { h.client(query("EMPTY")) }, "denied"},
		"not yet":     {func(h *harness) { h.client(query("EMPTY")); h.backend(row) }, "denied"},
		"failed":      {func(h *harness) { h.client(query("EMPTY")); h.backend(failed("57014", "canceled"), end) }, "denied"},
		"no row":      {func(h *harness) { h.client(query("EMPTY")); h.backend(complete("SELECT 0"), end) }, "denied"},
		"another tag": {func(h *harness) { h.client(query("EMPTY")); h.backend(complete("DECLARE CURSOR"), end) }, "denied"},
		"in a transaction": {func(h *harness) {
			asks(h, "BEGIN", complete("BEGIN"), ready('T'))
			asks(h, "EMPTY", row, ready('T'))
		}, "allowed"},
		"in a transaction that is rolled back": {func(h *harness) {
			asks(h, "BEGIN", complete("BEGIN"), ready('T'))
			asks(h, "EMPTY", row, ready('T'))
			asks(h, "ROLLBACK", complete("ROLLBACK"), end)
		}, "denied"},
		"in a transaction that is rolled back behind it": {func(h *harness) {
			asks(h, "BEGIN", complete("BEGIN"), ready('T'))
			h.client(query("EMPTY"), query("ROLLBACK"))
			h.backend(row, ready('T'), complete("ROLLBACK"), end)
		}, "denied"},
		"in a transaction that has failed": {func(h *harness) {
			asks(h, "BEGIN", complete("BEGIN"), ready('T'))
			asks(h, "SELECT f()", failed("22012", "division by zero"), ready('E'))
			asks(h, "EMPTY", failed("25P02", "current transaction is aborted"), ready('E'))
		}, "denied"},
		"behind a BEGIN that is on its way": {func(h *harness) {
			h.client(query("BEGIN"), query("EMPTY"))
			h.backend(complete("BEGIN"), ready('T'), row, ready('T'))
			asks(h, "ROLLBACK", complete("ROLLBACK"), end)
		}, "denied"},
		"in a block that no Sync tells of": {func(h *harness) {
			h.client(parse("", "BEGIN"), bind("", ""), execute("", 0), msg('H'))
			h.backend(parseOK, bindOK, complete("BEGIN"))
			asks(h, "EMPTY", row, ready('T'))
			asks(h, "ROLLBACK", complete("ROLLBACK"), end)
		}, "denied"},
		"in the extended protocol": {func(h *harness) {
			h.client(parse("", "EMPTY"), bind("", ""), execute("", 0), syncMsg)
			h.backend(parseOK, bindOK, row, end)
		}, "denied"},
		"set since": {func(h *harness) {
			asks(h, "EMPTY", row, end)
			asks(h, "SET path", complete("SET"), end)
		}, "denied"},
		"set behind it, before it is answered": {func(h *harness) {
			h.client(query("EMPTY"), query("SET path"))
			h.backend(row, end, complete("SET"), end)
		}, "denied"},
		"reset": {func(h *harness) {
			asks(h, "EMPTY", row, end)
			asks(h, "RESET", complete("RESET"), end)
		}, "denied"},
		"reset behind it, before it is answered": {func(h *harness) {
			h.client(query("EMPTY"), query("RESET"))
			h.backend(row, end, complete("RESET"), end)
		}, "denied"},
		"discarded": {func(h *harness) {
			asks(h, "EMPTY", row, end)
			asks(h, "DISCARD", complete("DISCARD ALL"), end)
		}, "denied"},
		"discarded behind it, before it is answered": {func(h *harness) {
			h.client(query("EMPTY"), query("DISCARD"))
			h.backend(row, end, complete("DISCARD ALL"), end)
		}, "denied"},
		"discarded by a statement prepared before": {func(h *harness) {
			h.client(parse("d", "DISCARD"), syncMsg)
			h.backend(parseOK, end)
			asks(h, "EMPTY", row, end)
			h.client(bind("", "d"), execute("", 0), syncMsg)
			h.backend(bindOK, complete("DISCARD ALL"), end)
		}, "denied"},
		"by a portal that goes on behind it": {func(h *harness) {
			asks(h, "BEGIN", complete("BEGIN"), ready('T'))
			h.client(parse("", "SELECT set"), bind("p", ""), execute("p", 1), syncMsg)
			h.backend(parseOK, bindOK, msg('s'), ready('T'))
			asks(h, "EMPTY", row, ready('T'))
			h.client(execute("p", 1), syncMsg)
			h.backend(msg('s'), ready('T'))
		}, "denied"},
		"a function since": {func(h *harness) {
			asks(h, "EMPTY", row, end)
			asks(h, "SELECT f()", row, end)
		}, "denied"},
	} {
		h := emptiesPath(t)
		c.do(h)
		h.client(query("SELECT salaries"))
		if got := h.last(); !strings.Contains(got, " "+c.want+" ") {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	h := emptiesPath(t)
	h.client(query("EMPTY; SELECT salaries"))
	h.wantLast(" denied ")
}

// The names of a portal were looked up when it was bound, also of one that an outstanding
// Bind may put another into the place of.
func TestPortalIsBoundByThePathBefore(t *testing.T) {
	for name, again := range map[string][][]byte{
		"bound":               nil,
		"perhaps bound again": {bind("p", "s"), syncMsg},
	} {
		h := emptiesPath(t)
		h.client(parse("s", "SELECT salaries"), syncMsg)
		h.backend(parseOK, ready('I'))
		asks(h, "BEGIN", complete("BEGIN"), ready('T'))
		asks(h, "SET path", complete("SET"), ready('T'))
		h.client(bind("p", "s"), syncMsg)
		h.backend(bindOK, ready('T'))
		asks(h, "EMPTY", complete("SELECT 1"), ready('T'))
		h.client(again...)
		h.client(execute("p", 0), syncMsg)
		if got := h.last(); !strings.Contains(got, " denied ") {
			t.Errorf("%s: %s", name, got)
		}
	}
	h := emptiesPath(t)
	asks(h, "EMPTY", complete("SELECT 1"), ready('I'))
	h.client(parse("s", "SELECT salaries"), bind("", "s"), execute("", 0), syncMsg)
	h.wantLast(" allowed ")
}

// What is refused has emptied nothing.
func TestRefusedEmptying(t *testing.T) {
	h := emptiesPath(t)
	g := anything()
	g.Classes &^= statement.MiscSet
	h.m.SetGrant(g)
	h.client(query("EMPTY"))
	h.wantLast(" denied ")
	if h.m.emptying.sent {
		t.Error("something is awaited")
	}
}
