package trial

import (
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// read makes of a record the statement that it is about, as far as rules look at
// it.
func read(r *journal.Record) statement.Statement {
	st := statement.Statement{Command: r.Command, Text: r.Text}
	for _, name := range r.Class {
		if c, ok := statement.ParseClass(name); ok {
			st.Class |= c
		} else {
			st.Class |= statement.Unknown // a newer program's
		}
	}
	for _, name := range r.Tags {
		if t, ok := statement.ParseTag(name); ok {
			st.Tags |= t
		} else {
			st.Class |= statement.Unknown
		}
	}
	bodies := false
	switch r.Command {
	case "DO", "CREATE FUNCTION", "CREATE PROCEDURE":
		bodies = true // the record does not tell which names stand in it: in doubt each
	}
	for _, o := range r.Objects {
		named := statement.Object{Schema: o.Schema, Name: o.Name, Kind: o.Kind, Use: use(o.Use)}
		named.Late = bodies && named.Use != statement.UseCreate
		st.Calls = st.Calls || bodies && named.Use == statement.UseExecute
		st.Objects = append(st.Objects, named)
	}
	if st.Tags&statement.TagTransaction != 0 {
		switch r.Command {
		case "COMMIT":
			st.Effect.Kind = statement.EffectCommit
		case "ROLLBACK":
			st.Effect.Kind = statement.EffectRollback
		}
	}
	return st
}

// decide judges a statement as a session does whose catalog knew what the record has
// of it.
func decide(g *auth.Grant, st *statement.Statement, path auth.Path, r *journal.Record) auth.Decision {
	d := g.DecideStatement(st, path)
	for i := 0; i < len(r.Resolved) && d.Allowed; i++ {
		o := &r.Resolved[i]
		known := statement.Resolved{
			Object:  statement.Object{Schema: o.Schema, Name: o.Name, Kind: o.Kind, Use: use(o.Use)},
			Through: through(o.Through), Facts: o.Facts,
		}
		named := known.Object
		if len(st.Objects) > 0 {
			named = st.Objects[0]
		}
		d = g.DecideResolved(st, &named, &known)
	}
	return d
}

func through(name string) statement.Through {
	for t := statement.ThroughName; t.String() != ""; t++ {
		if t.String() == name {
			return t
		}
	}
	return 0
}

func use(name string) statement.Use {
	for u := statement.UseRead; u.String() != ""; u++ {
		if u.String() == name {
			return u
		}
	}
	return 0
}

// after is what is known of search_path when the statement has run.
func after(path auth.Path, st *statement.Statement) auth.Path {
	if st.Class&(statement.Function|statement.Unknown) != 0 || st.Tags&statement.TagProcedural != 0 {
		return auth.PathUnknown
	}
	if st.SetsPath() {
		return auth.PathUnknown
	}
	return path
}
