package view

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The required attributes and the constraints of OCSF 1.8.0, from events/ and objects/
// of github.com/ocsf/ocsf-schema at tag 1.8.0.
var (
	ocsfRequired = map[float64][]string{
		0:    {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"},
		6005: {"actor", "src_endpoint"},
		3002: {"user"},
		3004: {"entity"},
	}
	ocsfAtLeastOne = map[float64][]string{
		6005: {"database", "databucket", "table"},
		3002: {"service", "dst_endpoint"},
	}
	ocsfObjects = map[string]struct{ required, atLeastOne []string }{
		"metadata":         {[]string{"product", "version"}, nil},
		"metadata.product": {nil, []string{"name", "uid"}},
		"actor":            {nil, []string{"process", "user", "invoked_by", "session", "app_name", "app_uid"}},
		"actor.user":       {nil, []string{"account", "name", "uid"}},
		"user":             {nil, []string{"account", "name", "uid"}},
		"database":         {[]string{"type_id"}, []string{"name", "uid"}},
		"table":            {nil, []string{"name", "uid"}},
		"query_info":       {[]string{"query_string"}, nil},
		"entity":           {nil, []string{"name", "uid"}},
		"policy":           {nil, []string{"name", "type", "uid"}},
		"src_endpoint":     {nil, []string{"ip", "uid", "name", "hostname", "svc_name"}},
		"dst_endpoint":     {nil, []string{"ip", "uid", "name", "hostname", "svc_name"}},
		"service":          {nil, []string{"name", "uid"}},
	}
	ocsfActivities = map[float64]float64{0: 0, 6005: 10, 3002: 7, 3004: 4} // the highest, but 99
	ocsfTop        = strings.Fields(`action action_id activity_id activity_name actor auth_protocol auth_protocol_id category_name
		category_uid class_name class_uid comment count database disposition disposition_id dst_endpoint end_time entity is_remote logon_type
		logon_type_id message metadata policy query_info service session severity severity_id src_endpoint start_time status
		status_code status_detail status_id table time type type_id type_name type_uid unmapped user`)
)

func TestOCSF(t *testing.T) {
	path, j := startJournal(t)
	day(t, j)
	story(t, j)
	for what, path := range map[string]string{"ordinary": path, "hostile": hostileJournal(t)} {
		classes := map[float64]int{}
		for _, fold := range []bool{false, true} {
			for _, m := range decode(t, query(t, Options{Path: path, Format: OCSF, Fold: fold})) {
				validate(t, m)
				classes[m["class_uid"].(float64)]++
			}
		}
		for _, class := range []float64{0, 3002, 6005} {
			if classes[class] == 0 {
				t.Errorf("%s: no event of class %v: %v", what, class, classes)
			}
		}
	}
}

// validate holds an event against the schema.
func validate(t *testing.T, m map[string]any) {
	t.Helper()
	class, _ := m["class_uid"].(float64)
	needs(t, m, "event", append(append([]string{}, ocsfRequired[0]...), ocsfRequired[class]...), ocsfAtLeastOne[class])
	for path, o := range ocsfObjects {
		if inner := at2(m, path); inner != nil {
			needs(t, inner, path, o.required, o.atLeastOne)
		}
	}
	activity, _ := m["activity_id"].(float64)
	if m["type_uid"] != class*100+activity || m["category_uid"] != float64(int(class)/1000) || activity > ocsfActivities[class] && activity != 99 {
		t.Errorf("class %v, category %v, activity %v, type %v", class, m["category_uid"], activity, m["type_uid"])
	}
	if at := time.UnixMilli(int64(m["time"].(float64))); at.Year() < 2026 {
		t.Errorf("the time is %v", at)
	}
	if m["status_id"] == 99.0 && m["status"] == "" || activity == 99 && m["activity_name"] == "" {
		t.Error("Other without its name")
	}
	known := " " + strings.Join(ocsfTop, " ") + " "
	for name := range m {
		if !strings.Contains(known, " "+name+" ") {
			t.Errorf("%s is no attribute that the classes have", name)
		}
	}
	if t.Failed() {
		b, _ := json.MarshalIndent(m, "", " ")
		t.Fatalf("%s", b)
	}
}

// at2 returns the object at a path of at most two names.
func at2(m map[string]any, path string) map[string]any {
	outer, inner, nested := strings.Cut(path, ".")
	o, _ := m[outer].(map[string]any)
	if nested {
		o, _ = o[inner].(map[string]any)
	}
	return o
}

func needs(t *testing.T, m map[string]any, what string, required, atLeastOne []string) {
	t.Helper()
	for _, name := range required {
		if v, ok := m[name]; !ok || v == nil {
			t.Errorf("%s has no %s", what, name)
		}
	}
	for _, name := range atLeastOne {
		if _, ok := m[name]; ok {
			return
		}
	}
	if len(atLeastOne) > 0 {
		t.Errorf("%s has none of %v", what, atLeastOne)
	}
}
