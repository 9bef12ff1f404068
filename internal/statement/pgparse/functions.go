package pgparse

import (
	_ "embed"
	"strings"
	"sync"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// The names of the functions in pg_catalog of a fresh PostgreSQL 15, one per
// line, made by
//
//	SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace ORDER BY 1
//
// in the C collation. Those of later versions count as functions of the
// database's own, which errs on the safe side.
//
//go:embed builtins.txt
var builtinNames string

var builtins = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for name := range strings.Lines(builtinNames) {
		names[strings.TrimSuffix(name, "\n")] = true
	}
	return names
})

// call notes a function that is called. A call that is not written as one (an
// operator, a cast, `row.function`) is not seen.
func (w *walker) call(f *pg.FuncCall) {
	parts := words(f.Funcname)
	schema, name := split(parts)
	inCatalog := schema == "" || schema == "pg_catalog"
	acts, known := action{}, false
	if inCatalog {
		acts, known = builtinAction(name)
	}
	if !known {
		acts, known = extensionAction(name)
	}
	w.secretArguments(name, f)
	if !known {
		if inCatalog && builtins()[name] {
			return
		}
		acts = action{class: function}
	}
	w.class(acts.class)
	w.tag(acts.tags)
	if acts.tags&tDestructive != 0 {
		w.destructive(name)
	}
	w.object(schema, name, "function", statement.UseExecute)
	if acts.also != nil {
		acts.also(w, f)
	}
}

// action is what a function does that acts.
type action struct {
	class statement.Class
	tags  statement.Tag
	also  func(*walker, *pg.FuncCall)
}

// builtinAction looks a function of pg_catalog up, by name or by its longest
// prefix.
func builtinAction(name string) (action, bool) {
	if a, ok := actingBuiltins[name]; ok {
		return a, true
	}
	return byPrefix(actingPrefixes, name)
}

// extensionAction looks up a function of PostgreSQL's own extensions, which can
// stand in any schema.
func extensionAction(name string) (action, bool) { return byPrefix(extensionPrefixes, name) }

func byPrefix(table []prefixed, name string) (action, bool) {
	for _, p := range table {
		if strings.HasPrefix(name, p.prefix) {
			return p.action, true
		}
	}
	return action{}, false
}

type prefixed struct {
	prefix string
	action action
}

// actingBuiltins are the functions of pg_catalog that change something, reach
// outside, or run SQL.
var actingBuiltins = map[string]action{
	"set_config": {class: miscSet, tags: tSession, also: (*walker).setConfig},

	"nextval":            {class: write, also: sequenceWritten},
	"setval":             {class: write, also: sequenceWritten},
	"pg_notify":          {class: misc},
	"pg_export_snapshot": {class: misc},

	"query_to_xml":                {class: function, tags: tDynamic},
	"query_to_xmlschema":          {class: function, tags: tDynamic},
	"query_to_xml_and_xmlschema":  {class: function, tags: tDynamic},
	"cursor_to_xml":               {class: function, tags: tDynamic},
	"cursor_to_xmlschema":         {class: function, tags: tDynamic},
	"ts_stat":                     {class: function, tags: tDynamic},
	"ts_rewrite":                  {class: function, tags: tDynamic},
	"table_to_xml":                {class: function | read, also: relationRead},
	"table_to_xml_and_xmlschema":  {class: function | read, also: relationRead},
	"schema_to_xml":               {class: function | read, tags: tDynamic},
	"schema_to_xml_and_xmlschema": {class: function | read, tags: tDynamic},
	"database_to_xml":             {class: function | read, tags: tDynamic},

	"database_to_xml_and_xmlschema": {class: function | read, tags: tDynamic},

	"lo_import":     {class: function | write, tags: tExternal},
	"lo_export":     {class: function | read, tags: tExternal},
	"lo_open":       {class: function | read},
	"loread":        {class: function | read},
	"lo_get":        {class: function | read},
	"lo_creat":      {class: function | write},
	"lo_create":     {class: function | write},
	"lo_from_bytea": {class: function | write},
	"lo_put":        {class: function | write},
	"lowrite":       {class: function | write},
	"lo_truncate":   {class: function | write},
	"lo_truncate64": {class: function | write},
	"lo_unlink":     {class: function | write, tags: tDestructive},

	"pg_terminate_backend":           {class: function, tags: tMaintenance},
	"pg_cancel_backend":              {class: function, tags: tMaintenance},
	"pg_reload_conf":                 {class: function, tags: tMaintenance},
	"pg_rotate_logfile":              {class: function, tags: tMaintenance},
	"pg_log_backend_memory_contexts": {class: function, tags: tMaintenance},
	"pg_create_restore_point":        {class: function, tags: tMaintenance},
	"pg_backup_start":                {class: function, tags: tMaintenance},
	"pg_backup_stop":                 {class: function, tags: tMaintenance},
	"pg_start_backup":                {class: function, tags: tMaintenance},
	"pg_stop_backup":                 {class: function, tags: tMaintenance},
	"pg_import_system_collations":    {class: function | ddl, tags: tDDL},
	"brin_summarize_new_values":      {class: function, tags: tMaintenance},
	"brin_summarize_range":           {class: function, tags: tMaintenance},
	"brin_desummarize_range":         {class: function, tags: tMaintenance},
	"gin_clean_pending_list":         {class: function, tags: tMaintenance},
	"pg_switch_wal":                  {class: function, tags: tMaintenance},
	"pg_promote":                     {class: function, tags: tReplication},
	"pg_wal_replay_pause":            {class: function, tags: tReplication},
	"pg_wal_replay_resume":           {class: function, tags: tReplication},
	"pg_drop_replication_slot":       {class: function, tags: tReplication | tDestructive},
	"pg_replication_origin_drop":     {class: function, tags: tReplication | tDestructive},

	"pg_stat_file":              {class: function, tags: tExternal},
	"pg_hba_file_rules":         {class: function, tags: tExternal},
	"pg_ident_file_mappings":    {class: function, tags: tExternal},
	"pg_show_all_file_settings": {class: function, tags: tExternal},
}

// actingPrefixes are families of such functions, longest first where one
// begins another.
var actingPrefixes = []prefixed{
	{"pg_advisory_", action{class: misc}},
	{"pg_try_advisory_", action{class: misc}},
	{"pg_read_", action{class: function, tags: tExternal}},
	{"pg_ls_", action{class: function, tags: tExternal}},
	{"pg_file_", action{class: function, tags: tExternal}},
	{"pg_logdir_ls", action{class: function, tags: tExternal}},
	{"pg_stat_reset", action{class: function, tags: tMaintenance}},
	{"pg_create_", action{class: function, tags: tReplication}},
	{"pg_copy_", action{class: function, tags: tReplication}},
	{"pg_logical_", action{class: function, tags: tReplication}},
	{"pg_replication_", action{class: function, tags: tReplication}},
	{"pg_sync_replication_slots", action{class: function, tags: tReplication}},
	{"binary_upgrade_", action{class: function | ddl, tags: tDDL}},
}

// extensionPrefixes are the acting functions of PostgreSQL's extensions.
var extensionPrefixes = []prefixed{
	{"dblink", action{class: function, tags: tExternal | tDynamic}},
	{"postgres_fdw_", action{class: function, tags: tExternal}},
	{"crosstab", action{class: function, tags: tDynamic}},
	{"connectby", action{class: function, tags: tDynamic}},
	{"xpath_table", action{class: function, tags: tDynamic}},
	{"pg_file_", action{class: function, tags: tExternal}},
	{"pg_logdir_ls", action{class: function, tags: tExternal}},
	{"pg_stat_statements_reset", action{class: function, tags: tMaintenance}},
}

// argument returns an argument by its place or its name, nil where it is missing.
func argument(f *pg.FuncCall, place int, name string) *pg.Node {
	for _, a := range f.Args {
		if n := a.GetNamedArgExpr(); n != nil && n.Name == name {
			return n.Arg
		}
	}
	if place < len(f.Args) && f.Args[place].GetNamedArgExpr() == nil {
		return f.Args[place]
	}
	return nil
}

func sequenceWritten(w *walker, f *pg.FuncCall) { w.regclass(f, "sequence", statement.UseWrite) }

func relationRead(w *walker, f *pg.FuncCall) { w.regclass(f, "relation", statement.UseRead) }

// regclass notes a relation that a function's first argument names.
func (w *walker) regclass(f *pg.FuncCall, kind string, use statement.Use) {
	if len(f.Args) == 0 {
		return
	}
	if v, ok := constant(f.Args[0]); ok && !v.null {
		schema, name := split(identifiers(v.text))
		w.object(schema, name, kind, use)
	}
}

// identifiers splits a qualified name and folds its parts as PostgreSQL does
// (textToQualifiedNameList, varlena.c).
func identifiers(s string) []string {
	var out []string
	var part strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' && quoted && i+1 < len(s) && s[i+1] == '"':
			part.WriteByte(c)
			i++
		case c == '"':
			quoted = !quoted
		case c == '.' && !quoted:
			out = append(out, part.String())
			part.Reset()
		case quoted:
			part.WriteByte(c)
		case c != ' ':
			part.WriteString(lower(s[i : i+1]))
		}
	}
	return append(out, part.String())
}
