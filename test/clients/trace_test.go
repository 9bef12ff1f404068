package clients

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/testkit"
)

// What an application claims in a comment leads from its trace to the statement.
func TestTraceOfAComment(t *testing.T) {
	s := testkit.SharedSite(t)
	const id, span = "7bd66ef5095369c7b0d1f8f4bd337aaa", "c532cb4098ac3aaa"
	text := "SELECT 7 /*action='%2Frun',traceparent='00-" + id + "-" + span + "-01'*/"
	run(t, "", "psql", "-X", "-c", text, s.LabProxied())
	r := s.Await(t, "the statement", func(r *journal.Record) bool { return r.TraceID == id && recordOf(text)(r) })
	if r.SpanID != span {
		t.Errorf("the span is %q", r.SpanID)
	}
	out, err := exec.CommandContext(t.Context(), s.Binary, "audit", "query", "--config", s.ConfigFile, "--trace", strings.ToUpper(id), "--format", "jsonl").Output()
	if err != nil || !strings.Contains(string(out), `"trace_id":"`+id+`","span_id":"`+span+`"`) || !strings.Contains(string(out), `"type":"outcome"`) {
		t.Errorf("%v\n%s", err, out)
	}
}
