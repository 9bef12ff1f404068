package pgparse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// settingEffect is what it means to set a run-time parameter, beyond changing
// the session.
type settingEffect struct {
	tags  statement.Tag
	value string // only when it is set to this one, or to one that the text does not tell
	takes string // what it takes away, which makes it destructive
	// raises is set where the session gets other rights by it: privilege, unless it
	// goes back to its own.
	raises bool
	// pooled is set where its reset means no more than DISCARD ALL does, which pools send
	// between their users, in one or in parts.
	pooled bool
	// rereads is set where SQL within literals, in bodies that are stored and in statements
	// that were prepared, is another than it was judged as.
	rereads bool
}

// settings are the parameters that mean more. The others are the session's own
// affair.
var settings = map[string]settingEffect{
	"role":                      {tags: tRoleChange, raises: true},
	"session_authorization":     {tags: tRoleChange, raises: true, pooled: true},
	"session_replication_role":  {value: "replica", takes: "session_replication_role = replica"}, // no trigger, rule or foreign key
	"zero_damaged_pages":        {value: "on", takes: "zero_damaged_pages = on"},
	"event_triggers":            {value: "off", takes: "event_triggers = off"},
	"allow_system_table_mods":   {tags: tPrivilege, value: "on"},
	"lo_compat_privileges":      {tags: tPrivilege, value: "on"}, // nobody's rights on large objects are looked at
	"session_preload_libraries": {tags: tExternal},
	"local_preload_libraries":   {tags: tExternal},
	"dynamic_library_path":      {tags: tExternal},
	"extension_control_path":    {tags: tExternal},

	"standard_conforming_strings": {tags: tDynamic, value: "off", rereads: true},
}

// settingKind is the kind of a run-time parameter among a statement's objects, and
// anySetting the name of one that the text does not tell.
const (
	settingKind = "setting"
	anySetting  = statement.Any
	pgSettings  = "pg_settings" // the view that sets a parameter when it is updated
)

// setting notes a SET or RESET, wherever it stands: by itself, in ALTER ROLE,
// ALTER SYSTEM, CREATE FUNCTION.
func (w *walker) setting(s *pg.VariableSetStmt) {
	name := lower(s.Name)
	if name != "" {
		w.object("", name, settingKind, statement.UseAlter)
	}
	if strings.HasPrefix(name, "transaction") || name == "session characteristics" {
		w.tag(tTransaction)
	}
	w.sets(name, s.Args, s.Kind != pg.VariableSetKind_VAR_SET_VALUE)
	if w.depth > 0 {
		w.bodySetting(name)
		w.leads(name)
	}
	for _, a := range s.Args {
		if v, _ := constant(a); statement.SecretName(name) || strings.HasSuffix(name, "_command") && tellingProgram.MatchString(v.text) {
			w.secretNode(a)
		}
	}
}

// sets notes what a parameter's new value does. A reset gives the default, which
// is taken for harmless but for who the session is.
func (w *walker) sets(name string, values []*pg.Node, reset bool) {
	e := settings[name]
	if e.value != "" {
		if reset || len(values) == 1 && differs(values[0], e.value) {
			return
		}
	}
	if e.pooled && reset {
		return
	}
	w.tag(e.tags)
	w.everything(e.rereads, statement.UseRead)
	if e.raises && !reset && (len(values) != 1 || differs(values[0], noRole)) {
		w.tag(tPrivilege)
	}
	if e.takes != "" {
		w.destructive(e.takes)
	}
}

// noRole is the value of role that stands for no other than the session's own: "None" and
// "NONE" are names of roles (check_role, variable.c).
const noRole = "none"

// differs tells if a value is another one than that. One that the text does not
// tell is taken for the worse.
func differs(n *pg.Node, value string) bool {
	v, ok := constant(n)
	if !ok || v.null || v.opaque || v.cut {
		return value == noRole
	}
	switch value {
	case "on":
		return v.truth() == never
	case "off":
		return v.truth() == always
	case noRole:
		return v.text != noRole
	}
	return !strings.EqualFold(v.text, value)
}

// setConfig notes what set_config() sets. A name that the text does not tell
// could be any.
func (w *walker) setConfig(f *pg.FuncCall) {
	value := argument(f, 1, "new_value")
	name, ok := constant(argument(f, 0, "setting_name"))
	ok = ok && !name.opaque && !(name.cut && beginsLikeOne(lower(name.text)))
	if v, _ := constant(value); !ok && w.pinned.text != "" && v.text == dumpsValue && isColumn(argument(f, 0, "setting_name"), "name") {
		name, ok = w.pinned, true
		w.literal = true
	}
	if ok {
		w.object("", lower(name.text), settingKind, statement.UseAlter)
		w.leads(lower(name.text))
		w.sets(lower(name.text), []*pg.Node{value}, false)
	} else {
		w.anySettingIsSet()
	}
	if w.depth > 0 {
		w.bodySetting(name.text)
	}
	if !ok || statement.SecretName(name.text) {
		w.secretNode(value)
	}
}

// beginsLikeOne tells if a name that is cut off may be that of a parameter that means more.
func beginsLikeOne(name string) bool {
	for setting := range settings {
		if name != setting && strings.HasPrefix(name, setting) {
			return true
		}
	}
	return name != "search_path" && strings.HasPrefix(name, "search_path")
}

// viewOf notes a view that is made of pg_settings: who updates it sets parameters, and
// nothing in the UPDATE says so. Only one that PostgreSQL makes updatable by itself lets
// that through (view_query_is_auto_updatable, rewriteHandler.c); of another, its rule or
// its trigger names what it does.
func (w *walker) viewOf(query *pg.Node) {
	if s := query.GetSelectStmt(); s != nil && updatable(s) && isSettings(s.FromClause[0].GetRangeVar()) {
		w.anySettingIsSet()
	}
}

// viewByRule is viewOf for a view that is made by a rule ON SELECT.
func (w *walker) viewByRule(m *pg.RuleStmt) {
	if m.Event == pg.CmdType_CMD_SELECT && len(m.Actions) == 1 {
		w.viewOf(m.Actions[0])
	}
}

// updatable tells if a view of this query may be updatable by itself.
func updatable(s *pg.SelectStmt) bool {
	return len(s.FromClause) == 1 && s.WithClause == nil && s.Op == pg.SetOperation_SETOP_NONE && len(s.DistinctClause) == 0 &&
		len(s.GroupClause) == 0 && s.HavingClause == nil && s.LimitCount == nil && s.LimitOffset == nil
}

func isSettings(r *pg.RangeVar) bool {
	return r.GetRelname() == pgSettings && (r.Schemaname == "" || r.Schemaname == "pg_catalog")
}

// What pg_dump sets where the server has the parameter: SELECT set_config(name, …) FROM
// pg_settings WHERE name = …. Nothing else is taken at its word. The table, and =, may be the
// session's own, so that 'rôle' is 'role' by a collation; this value means nothing to another
// parameter.
const (
	dumpsSetting = "restrict_nonsystem_relation_kind"
	dumpsValue   = "view, foreign-table"
)

// pinnedSetting returns the one name that rows of pg_settings can have that a query
// selects from it alone, where that is pg_dump's; "" where there may be another.
func pinnedSetting(s *pg.SelectStmt) value {
	if len(s.FromClause) != 1 || s.WithClause != nil || s.Op != pg.SetOperation_SETOP_NONE {
		return value{}
	}
	from := s.FromClause[0].GetRangeVar()
	if !isSettings(from) || len(from.GetAlias().GetColnames()) > 0 {
		return value{}
	}
	where := s.WhereClause.GetAExpr()
	if where.GetKind() != pg.A_Expr_Kind_AEXPR_OP || len(where.Name) != 1 || operator(where) != "=" || !isColumn(where.Lexpr, "name") {
		return value{}
	}
	if c := where.Rexpr.GetAConst(); c.GetSval().GetSval() == dumpsSetting {
		return literal(c)
	}
	return value{}
}

// isColumn tells if an expression is the column of that name, and no more.
func isColumn(n *pg.Node, name string) bool {
	c := n.GetColumnRef()
	return len(c.GetFields()) == 1 && c.Fields[0].GetString_().GetSval() == name
}

// anySettingIsSet notes what setting a parameter can mean at most to the session
// that sets it.
func (w *walker) anySettingIsSet() {
	w.leads(anySetting)
	w.object("", anySetting, settingKind, statement.UseAlter)
	w.anything(statement.UseRead)
	w.tag(tRoleChange | tPrivilege | tDynamic)
	w.destructive("a setting that the text does not tell")
}

// leads notes a setting in what is stored that says where names without a schema are
// found. Whoever comes to run it, by an operator, a view or a trigger, does not say so,
// and the names of the session are others from then on.
func (w *walker) leads(name string) {
	if o := (statement.Object{Kind: settingKind, Name: name}); w.stored && o.Moves() {
		w.anything(statement.UseRead)
	}
}

// leadsLater notes the schemas in which sessions to come, or a function that there is,
// will find names without one: what they name then is not taken to be there.
func (w *walker) leadsLater(s *pg.VariableSetStmt) {
	o := statement.Object{Kind: settingKind, Name: lower(s.GetName())}
	switch {
	case !o.Moves() || s.Kind != pg.VariableSetKind_VAR_SET_VALUE && s.Kind != pg.VariableSetKind_VAR_SET_CURRENT:
		return
	case s.Kind == pg.VariableSetKind_VAR_SET_CURRENT || o.Name != "search_path":
		w.anything(statement.UseRead)
		return
	}
	for _, a := range s.Args {
		if v, _ := constant(a); !usualSchemas[v.text] {
			w.object("", v.text, "schema", statement.UseRead)
		}
	}
}

// usualSchemas are those in which a name without one is looked for anyway.
var usualSchemas = map[string]bool{"": true, "public": true, "pg_catalog": true, "pg_temp": true, "$user": true}

// bodySetting notes a setting that a body is executed under, or makes itself:
// this one decides where the literals of the rest of the body end.
func (w *walker) bodySetting(name string) {
	if lower(name) == "standard_conforming_strings" {
		w.class(statement.Unknown)
	}
}
