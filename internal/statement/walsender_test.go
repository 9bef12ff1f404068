package statement

import (
	"context"
	"slices"
	"testing"
)

// noSQL judges every text Unknown, for what is no walsender command.
type noSQL struct{}

func (noSQL) Cached(text []byte, encoding Encoding) (*Judgement, bool) { return nil, false }

func (noSQL) Judge(_ context.Context, text []byte, _ Encoding) *Judgement {
	return UnknownText(text, CauseName)
}

func TestWalsender(t *testing.T) {
	const repl, take = TagReplication, TagReplication | TagBulkExport
	for _, c := range []struct {
		text, command string
		class         Class
		tags          Tag
		object        string
	}{
		{"IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM", Misc, repl, ""},
		{" \n IDENTIFY_SYSTEM ; ", "IDENTIFY_SYSTEM", Misc, repl, ""},
		{"SHOW data_directory_mode", "SHOW", Misc, 0, "data_directory_mode"},
		{"TIMELINE_HISTORY 2", "TIMELINE_HISTORY", Read, repl, ""},
		{`BASE_BACKUP ( LABEL 'pg_basebackup ; base''s',  PROGRESS,  MANIFEST 'yes',  TARGET 'client')`, "BASE_BACKUP", Read, take, "*"},
		{`BASE_BACKUP (TARGET 'server', TARGET_DETAIL '/tmp')`, "BASE_BACKUP", Read, take | TagExternalIO, "*"},
		{`BASE_BACKUP ("target" 'server', "target_detail" '/tmp')`, "BASE_BACKUP", Read, take | TagExternalIO, "*"},
		{`BASE_BACKUP LABEL 'x' FAST`, "BASE_BACKUP", Read, take, "*"},
		{`CREATE_REPLICATION_SLOT "Sub" LOGICAL pgoutput (SNAPSHOT 'nothing')`, "CREATE_REPLICATION_SLOT", Misc, repl, "Sub"},
		{`CREATE_REPLICATION_SLOT "s" TEMPORARY PHYSICAL RESERVE_WAL`, "CREATE_REPLICATION_SLOT", Misc, repl, "s"},
		{`ALTER_REPLICATION_SLOT s (FAILOVER true)`, "ALTER_REPLICATION_SLOT", Misc, repl, "s"},
		{`READ_REPLICATION_SLOT s`, "READ_REPLICATION_SLOT", Misc, repl, "s"},
		{`DROP_REPLICATION_SLOT s WAIT`, "DROP_REPLICATION_SLOT", Misc, repl | TagDestructive, "s"},
		{`START_REPLICATION 0/3000000 TIMELINE 1`, CommandStartPhysical, Read, take, "*"},
		{`START_REPLICATION SLOT s PHYSICAL 0/3000000`, CommandStartPhysical, Read, take, "s"},
		{`START_REPLICATION SLOT "s" LOGICAL 0/0 (proto_version '3', publication_names '"pub"')`, CommandStartLogical, Read, take, "s"},
		{`START_REPLICATION SLOT "LOGICAL" 0/0`, CommandStartPhysical, Read, take, "LOGICAL"},
		// What the server refuses, or what cannot be read: Unknown.
		{`IDENTIFY_SYSTEM; DROP TABLE x`, "", Unknown, 0, ""},
		{`BASE_BACKUP (LABEL 'x`, "", Unknown, 0, ""},
		{`START_REPLICATION`, "", Unknown, 0, ""},
		{`START_REPLICATION SLOT ( 0/0`, "", Unknown, 0, ""},
		{`DROP_REPLICATION_SLOT`, "", Unknown, 0, ""},
	} {
		j := Walsender(noSQL{}).Judge(t.Context(), []byte(c.text), UTF8)
		st := &j.Statements[0]
		object := ""
		if len(st.Objects) > 0 {
			object = st.Objects[0].Name
		}
		if takes := c.tags&TagBulkExport != 0; takes != slices.ContainsFunc(st.Objects, func(o Object) bool { return o.Schema == Any && o.Name == Any }) {
			t.Errorf("%s: objects %+v", c.text, st.Objects)
		}
		if st.Command != c.command || st.Class != c.class || st.Tags != c.tags || object != c.object || c.class == Unknown && j.Cause != CauseSyntax {
			t.Errorf("%s: %q %s %s %q, cause %q", c.text, st.Command, st.Class, st.Tags, object, j.Cause)
		}
	}
	// The server takes these for SQL, by their first token alone.
	for _, text := range []string{"", "SELECT 1", "identify_system", `"IDENTIFY_SYSTEM"`, "IDENTIFY_SYSTEMS", "/**/ IDENTIFY_SYSTEM", "-- \nSHOW x", "SHOW1", "SHOW\xc3\xa4", ";SHOW x"} {
		if j := Walsender(noSQL{}).Judge(t.Context(), []byte(text), UTF8); j.Cause != CauseName {
			t.Errorf("%q was taken for a walsender command: %+v", text, j.Statements)
		}
	}
	if j := Walsender(noSQL{}).Judge(t.Context(), []byte(`DROP_REPLICATION_SLOT "ä"`), Other); j.Cause != CauseEncoding {
		t.Errorf("cause %q", j.Cause)
	}
}
