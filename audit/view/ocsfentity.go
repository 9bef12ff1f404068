package view

import (
	"strconv"
	"strings"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// ocsfManaged maps what is done to the proxy's own things: its configuration, holds on
// the record, and segments that retention removes. It says whether the record is one.
func ocsfManaged(a attributes, e *entry) bool {
	id, activity, kind, name := 0, "", "", ""
	switch e.Type {
	case audit.Configuration:
		id, activity, kind, name = 3, "Update", "Configuration", "pgcustos"
	case audit.Held:
		id, activity, kind, name = 1, "Create", "Hold", heldID(e.Record)
	case audit.Released:
		id, activity, kind, name = 4, "Delete", "Hold", heldID(e.Record)
	case audit.Removed:
		id, activity, kind, name = 4, "Delete", "Journal segment", "segment"
	default:
		return false
	}
	ocsfClassify(a, 3, "Identity & Access Management", 4, "Entity Management", id, activity)
	entity := attributes{}
	entity.set("name", name)
	entity.set("type", kind)
	a["entity"] = entity
	if e.Reader != nil {
		user := attributes{"type_id": 0, "type": "Unknown", "uid": strconv.FormatUint(uint64(e.Reader.UID), 10)}
		user.set("name", e.Reader.User)
		a["actor"] = attributes{"user": user, "app_name": "pgcustos"}
	}
	if a.set("comment", e.Detail+e.Filter); e.Type == audit.Configuration {
		delete(a, "comment") // its difference stands under unmapped
	}
	return true
}

// heldID is the id of the hold that a record is about, as the command said it.
func heldID(r *journal.Record) string {
	word, _, _ := strings.Cut(r.Filter, " ")
	if id, ok := strings.CutPrefix(word, "id="); ok && id != "" {
		return id
	}
	return "hold"
}
