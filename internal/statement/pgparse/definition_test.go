package pgparse

import (
	"slices"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// What a definition evaluates at once counts, what it stores does not.
func TestEvaluatedByDefinitions(t *testing.T) {
	for text, want := range map[string]statement.Class{
		"CREATE TABLE p PARTITION OF t FOR VALUES IN (f(3))":                                                   ddl | function,
		"CREATE TABLE p PARTITION OF t FOR VALUES FROM (nextval('q')) TO (set_config('a.b', 'c', false))":      ddl | write | miscSet,
		"CREATE TABLE p PARTITION OF t (a DEFAULT f()) FOR VALUES WITH (MODULUS 2, REMAINDER 1)":               ddl,
		"CREATE FOREIGN TABLE p PARTITION OF t FOR VALUES IN (f(3)) SERVER s":                                  ddl | function,
		"CREATE SCHEMA s CREATE TABLE p PARTITION OF t FOR VALUES IN (f(1))":                                   ddl | function,
		"ALTER TABLE t ATTACH PARTITION p FOR VALUES IN (nextval('q'))":                                        ddl | write,
		"ALTER DOMAIN d ADD CHECK (f(VALUE) > 0)":                                                              ddl | function,
		"ALTER DOMAIN d ADD CONSTRAINT c CHECK (f(VALUE) > 0) NOT VALID":                                       ddl,
		"ALTER DOMAIN d SET DEFAULT f()":                                                                       ddl,
		"ALTER TABLE t ADD COLUMN a int DEFAULT nextval('q')":                                                  ddl | write,
		"ALTER TABLE t ADD COLUMN a int DEFAULT pg_advisory_lock(1)":                                           ddl | misc,
		"ALTER TABLE t ALTER a TYPE int USING setval('q', a)":                                                  ddl | write,
		"ALTER TABLE t ALTER a SET DEFAULT nextval('q')":                                                       ddl,
		"CREATE INDEX i ON t ((set_config('a.b', a, false)))":                                                  ddl | miscSet,
		"CREATE TABLE t (a int DEFAULT nextval('q'), CHECK (f(a)))":                                            ddl,
		"CREATE DOMAIN d AS int DEFAULT nextval('q') CHECK (f(VALUE))":                                         ddl,
		"CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'CREATE TABLE p PARTITION OF t FOR VALUES IN (f(3))'": ddl,
		"DO $$BEGIN CREATE TABLE p PARTITION OF t FOR VALUES IN (nextval('q')); END$$":                         ddl | function | write,
	} {
		if j := Read(text); j.Class != want {
			t.Errorf("%s: %s %s, want %s", text, j.Class, j.Cause, want)
		}
	}
}

// An UPDATE of a view of pg_settings sets parameters: whoever makes one is on record.
func TestViewsOfSettings(t *testing.T) {
	for text, want := range map[string]bool{
		"CREATE TEMP VIEW s AS SELECT * FROM pg_settings":                                                      true,
		"CREATE OR REPLACE VIEW s (a, b) AS SELECT name, setting FROM pg_catalog.pg_settings p WHERE true":     true,
		"CREATE VIEW s AS TABLE pg_settings":                                                                   true,
		`CREATE RULE "_RETURN" AS ON SELECT TO t DO INSTEAD SELECT * FROM pg_settings`:                         true,
		"CREATE RULE r AS ON UPDATE TO t DO INSTEAD UPDATE pg_settings SET setting = new.a WHERE name = new.b": true,
		"DO $$BEGIN CREATE VIEW s AS SELECT * FROM pg_settings; END$$":                                         true,
		"CREATE MATERIALIZED VIEW s AS SELECT * FROM pg_settings":                                              false,
		"CREATE VIEW s AS SELECT * FROM my.pg_settings":                                                        false,
		"CREATE VIEW s AS SELECT p.name FROM pg_settings p JOIN t ON t.name = p.name":                          false,
		"CREATE VIEW s AS SELECT count(*) FROM pg_settings GROUP BY category":                                  false,
	} {
		j := Read(text)
		any := notes(j, statement.Object{Name: anySetting, Kind: settingKind, Use: statement.UseAlter})
		if tags := tRoleChange | tPrivilege | tDestructive; any != want || (j.Tags&tags == tags) != want {
			t.Errorf("%s: %s %s %+v", text, j.Tags, j.Cause, j.Statements[0].Objects)
		}
	}
}

// notes tells if an object is among those of a text's first statement, whenever its name is
// looked up.
func notes(j *statement.Judgement, want statement.Object) bool {
	return slices.ContainsFunc(j.Statements[0].Objects, func(o statement.Object) bool {
		o.Late = false
		return o == want
	})
}
