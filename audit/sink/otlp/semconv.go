package otlp

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// SemconvLine is a record by OpenTelemetry's semantic conventions for databases, as a
// JSON object without a line break: the attributes are those of the log records that
// this sink sends.
func SemconvLine(r *journal.Record) ([]byte, error) {
	_, severity := severity(r)
	event := map[string]any{
		"timestamp": r.Time.UTC().Format(time.RFC3339Nano), "severity_text": severity, "event_name": eventName(r),
		"attributes": plainValues(attributesOf(r)),
	}
	if traceID, spanID := trace(r); len(traceID) > 0 {
		event["trace_id"], event["span_id"] = hex.EncodeToString(traceID), hex.EncodeToString(spanID)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(event)
	return journal.EscapeActing(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), err
}

func eventName(r *journal.Record) string { return "pgcustos." + valid(string(r.Type)) }

func plainValues(a attributes) map[string]any {
	out := map[string]any{}
	for _, kv := range a {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			out[kv.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			out[kv.Key] = v.IntValue
		case *common.AnyValue_ArrayValue:
			list := []string{}
			for _, each := range v.ArrayValue.Values {
				list = append(list, each.GetStringValue())
			}
			out[kv.Key] = list
		}
	}
	return out
}
