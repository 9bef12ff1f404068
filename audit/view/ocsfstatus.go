package view

import (
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
)

// ocsfStatus sets what came of it: status_id 1 Success, 2 Failure, 0 Unknown, 99
// Other.
func ocsfStatus(a attributes, e *entry) {
	answer := e.answer()
	id, name := 0, "Unknown"
	switch {
	case refused(e.Record):
		id, name = 2, "Failure"
	case answer.Result == audit.Completed:
		id, name = 1, "Success"
	case answer.Result == audit.Failed:
		id, name = 2, "Failure"
	case answer.Result == audit.Skipped, answer.Result == audit.Suspended:
		id, name = 99, string(answer.Result)
	case answer.Result == audit.Lost:
	case !isStatement(e.Record) && e.Type != audit.Outcome && e.Type != audit.Transaction:
		id, name = 1, "Success" // an event that says that it happened
	}
	a["status_id"], a["status"] = id, name
	code := answer.SQLSTATE
	if code == "" {
		code = e.Cause
	}
	a.set("status_code", code)
	a.set("status_detail", ocsfDetail(e))
}

func ocsfDetail(e *entry) string {
	var parts []string
	if e.Missing != "" {
		parts = append(parts, "lacks "+e.Missing)
	}
	parts = append(parts, e.answer().Message)
	if e.Type == audit.Authentication || e.Type == audit.Authorization {
		parts = append(parts, e.Detail)
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}

// refused says whether the proxy kept it from happening.
func refused(r *journal.Record) bool {
	return r.Decision == audit.Denied || r.Decision == audit.Unavailable ||
		r.Type == audit.Authentication && r.Result == audit.Failed
}

// ocsfDecision sets the attributes of the security_control profile, and the severity
// of what was denied.
func ocsfDecision(a attributes, e *entry) {
	switch e.Decision {
	case audit.Allowed:
		a["action_id"], a["action"] = 1, "Allowed"
		a["disposition_id"], a["disposition"] = 1, "Allowed"
	case audit.Denied:
		a["action_id"], a["action"] = 2, "Denied"
		a["disposition_id"], a["disposition"] = 2, "Blocked"
		a["severity_id"], a["severity"] = 3, "Medium"
	case audit.WouldDeny:
		a["action_id"], a["action"] = 3, "Observed"
		a["disposition_id"], a["disposition"] = 15, "Detected"
		a["severity_id"], a["severity"] = 2, "Low"
	case audit.Unavailable:
		a["action_id"], a["action"] = 2, "Denied"
		a["disposition_id"], a["disposition"] = 25, "Rejected"
		a["severity_id"], a["severity"] = 2, "Low"
	}
	if e.Type == audit.Revocation {
		a["action_id"], a["action"] = 2, "Denied"
		a["disposition_id"], a["disposition"] = 24, "Access Revoked"
		a["severity_id"], a["severity"] = 3, "Medium"
	}
	rule := e.DecisionRule
	if rule == "" {
		rule = e.Rule
	}
	if rule != "" {
		policy := attributes{}
		policy.set("name", rule)
		a["policy"] = policy
	}
}

// ocsfActivity is the activity_id of Datastore Activity: by what the statement does
// first, where it does several things; unmapped has the classes and tags.
func ocsfActivity(r *journal.Record) (int, string) {
	if !isStatement(r) && r.Type != audit.Outcome {
		return 3, "Connect"
	}
	command, _, _ := strings.Cut(r.Command, " ")
	switch command {
	case "SELECT", "TABLE", "VALUES", "FETCH":
		if slices.Equal(r.Class, []string{"READ"}) || r.Type == audit.Outcome {
			return 4, "Query"
		}
	case "INSERT", "MERGE":
		return 5, "Write"
	case "UPDATE", "ALTER":
		return 2, "Update"
	case "DELETE", "TRUNCATE", "DROP":
		return 7, "Delete"
	case "CREATE":
		return 6, "Create"
	}
	switch {
	case slices.Contains(r.Class, "UNKNOWN"):
		return 0, "Unknown"
	case slices.Contains(r.Tags, "bulk_load"):
		return 5, "Write"
	case slices.Equal(r.Class, []string{"READ"}):
		return 4, "Query"
	case slices.Equal(r.Class, []string{"WRITE"}):
		return 5, "Write"
	case r.Command == "":
		return 99, "unnamed command"
	}
	return 99, r.Command
}
