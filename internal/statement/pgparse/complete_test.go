package pgparse

import (
	"os"
	"slices"
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// newer is the section of forms that the parser's grammar, PostgreSQL 17's, does
// not know: they are Unknown by design.
const newer = "Newer than the grammar"

// The table of forms has each page of the manual, and nothing in it is Unknown
// that the grammar knows. testdata/pages.txt is what psql lists: no page has come
// or gone between versions 15, that list's, and 18; 13 and 14 lack MERGE.
func TestEveryPage(t *testing.T) {
	list, err := os.ReadFile("testdata/pages.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := append(strings.Split(strings.TrimSpace(string(list)), "\n"), newer)
	_, pages := readForms(t)
	var got []string
	for _, p := range pages {
		got = append(got, p.title)
		if len(p.forms) == 0 {
			t.Errorf("%s has no form", p.title)
		}
		for _, f := range p.forms {
			if unknown := Read(f.sql).Class&statement.Unknown != 0; unknown != (p.title == newer) {
				t.Errorf("%s: %s: unknown is %v", p.title, f.sql, unknown)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages %v", got)
	}
}

// internalNodes are statement nodes that no text makes by itself: what they are
// part of is judged.
var internalNodes = map[string]string{
	"RawStmt":             "wraps each statement",
	"ReturnStmt":          "RETURN in the body of a function, followed there",
	"PLAssignStmt":        "an assignment of PL/pgSQL, parsed as an expression",
	"SetOperationStmt":    "made by the analysis, not by the grammar",
	"ReplicaIdentityStmt": "part of ALTER TABLE",
}

// Every statement node of the grammar, each variant that the table of commands
// tells apart, each kind of object and each action of ALTER TABLE is met in the
// table of forms.
func TestEveryNode(t *testing.T) {
	met := map[string]bool{}
	_, pages := readForms(t)
	for _, p := range pages {
		for _, f := range p.forms {
			if tree, err := pg.Parse(f.sql); err == nil {
				meet(tree, met)
			}
		}
	}
	oneof := (&pg.Node{}).ProtoReflect().Descriptor().Oneofs().Get(0).Fields()
	for i := range oneof.Len() {
		name := string(oneof.Get(i).Message().Name())
		if strings.HasSuffix(name, "Stmt") && !met[name] && internalNodes[name] == "" {
			t.Errorf("no form has a %s", name)
		}
	}
	for key := range commands {
		if !met[key] {
			t.Errorf("no form is a %s", key)
		}
	}
	for of := range kinds {
		if !met[of.String()] && !internalKinds[of] {
			t.Errorf("no form is on %s", of)
		}
	}
	for of := range alterations {
		if !met[of.String()] {
			t.Errorf("no form has %s", of)
		}
	}
}

// internalKinds stand in no tree of the grammar.
var internalKinds = map[pg.ObjectType]bool{
	pg.ObjectType_OBJECT_AMOP: true, pg.ObjectType_OBJECT_AMPROC: true, pg.ObjectType_OBJECT_DEFACL: true,
	pg.ObjectType_OBJECT_DEFAULT: true, pg.ObjectType_OBJECT_USER_MAPPING: true,
	pg.ObjectType_OBJECT_PUBLICATION_NAMESPACE: true, pg.ObjectType_OBJECT_PUBLICATION_REL: true,
}

// meet notes the nodes of a tree, their variants and the values of their
// enumerations.
func meet(m proto.Message, met map[string]bool) {
	r := m.ProtoReflect()
	name := string(r.Descriptor().Name())
	met[name] = true
	if v := variant(m); v != "" {
		met[name+" "+v] = true
	}
	r.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Enum() != nil && !f.IsList():
			met[string(f.Enum().Name())+"_"+string(f.Enum().Values().ByNumber(v.Enum()).Name())] = true
			met[string(f.Enum().Values().ByNumber(v.Enum()).Name())] = true
		case f.Message() != nil && f.IsList():
			for i := range v.List().Len() {
				meet(v.List().Get(i).Message().Interface(), met)
			}
		case f.Message() != nil:
			meet(v.Message().Interface(), met)
		}
		return true
	})
}

// Every action of ALTER TABLE that the grammar can make is in the table.
func TestEveryAlteration(t *testing.T) {
	internal := map[pg.AlterTableType]bool{
		pg.AlterTableType_ALTER_TABLE_TYPE_UNDEFINED: true, pg.AlterTableType_AT_AddColumnToView: true,
		pg.AlterTableType_AT_CookedColumnDefault: true, pg.AlterTableType_AT_CheckNotNull: true,
		pg.AlterTableType_AT_AddIndex: true, pg.AlterTableType_AT_ReAddIndex: true,
		pg.AlterTableType_AT_ReAddConstraint: true, pg.AlterTableType_AT_ReAddDomainConstraint: true,
		pg.AlterTableType_AT_ReplaceRelOptions: true, pg.AlterTableType_AT_ReAddComment: true,
		pg.AlterTableType_AT_ReAddStatistics: true, pg.AlterTableType_AT_AddIndexConstraint: true,
	}
	for n, name := range pg.AlterTableType_name {
		if _, ok := alterations[pg.AlterTableType(n)]; ok == internal[pg.AlterTableType(n)] {
			t.Errorf("%s: in the table %v", name, ok)
		}
	}
}

// Every kind of object is in the table.
func TestEveryKind(t *testing.T) {
	for n, name := range pg.ObjectType_name {
		if _, ok := kinds[pg.ObjectType(n)]; !ok && n != 0 {
			t.Errorf("%s is not in the table", name)
		}
	}
}
