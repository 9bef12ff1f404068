package main

import (
	"encoding/json"
	"io"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// The JSON of an explanation, for tools: names stay, more may come.
type (
	explainedJSON struct {
		Asked     string         `json:"asked_for"`
		BindName  string         `json:"bind_name"`
		Account   accountJSON    `json:"account"`
		Request   requestJSON    `json:"request"`
		Barred    string         `json:"barred,omitempty"` // the cause that keeps the account out whatever the rules say
		Why       string         `json:"barred_why,omitempty"`
		Rules     []verdictJSON  `json:"rules"`
		Grant     *grantJSON     `json:"grant"` // null where there is no session
		Statement *statementJSON `json:"statement,omitempty"`
		Steps     []stepJSON     `json:"steps"`
	}
	accountJSON struct {
		Account string      `json:"account"`
		UPN     string      `json:"upn,omitempty"`
		Domain  string      `json:"domain"`
		DN      string      `json:"dn"`
		SID     string      `json:"sid"`
		GUID    string      `json:"guid"`
		Kind    string      `json:"kind"`
		Owner   string      `json:"owner,omitempty"`
		State   string      `json:"state"`
		Groups  []groupJSON `json:"groups"`
		Unheard []string    `json:"unheard,omitempty"` // domains whose groups are missing: they did not answer
	}
	groupJSON struct {
		Name string `json:"name,omitempty"`
		SID  string `json:"sid"`
		DN   string `json:"dn,omitempty"`
	}
	requestJSON struct {
		Database  string   `json:"database"`
		Source    string   `json:"source"`
		Method    string   `json:"method"`
		Assurance []string `json:"assurance,omitempty"`
		Role      string   `json:"role,omitempty"`
		Reason    string   `json:"reason,omitempty"`
	}
	verdictJSON struct {
		Rule    string       `json:"rule"`
		Chosen  bool         `json:"chosen"`
		Matched string       `json:"matched,omitempty"` // the group or account by which the rule names the identity
		Path    []groupJSON  `json:"path,omitempty"`    // how the account comes to be in that group
		Failed  []failedJSON `json:"failed,omitempty"`
	}
	failedJSON struct {
		Condition string `json:"condition"`
		Why       string `json:"why"`
	}
	grantJSON struct {
		Rule       string   `json:"rule"`
		Backend    string   `json:"backend"`
		Role       string   `json:"role"`
		Classes    []string `json:"classes"`
		Tags       []string `json:"tags"`
		Mode       string   `json:"mode"`
		Durability string   `json:"durability"`
	}
	statementJSON struct {
		Decision   string      `json:"decision"` // allowed, denied, would_deny, no_session
		Why        string      `json:"why"`
		Unread     string      `json:"unread,omitempty"` // why the text could not be read
		Statements []ruledJSON `json:"statements"`
	}
	ruledJSON struct {
		Command     string       `json:"command,omitempty"`
		Destructive string       `json:"destructive,omitempty"`
		Classes     []string     `json:"classes"`
		Tags        []string     `json:"tags"`
		Objects     []objectJSON `json:"objects,omitempty"`
		Allowed     *bool        `json:"allowed,omitempty"`
		Missing     string       `json:"missing,omitempty"`
		Kept        string       `json:"kept_by,omitempty"`
	}
	objectJSON struct {
		Schema string `json:"schema,omitempty"`
		Name   string `json:"name"`
		Kind   string `json:"kind"`
		Use    string `json:"use"`
	}
	stepJSON struct {
		Step         string `json:"step"`
		Microseconds int64  `json:"microseconds"`
	}
)

func (x *explained) json(w io.Writer) error {
	e, id := &x.rules, &x.rules.Identity
	out := explainedJSON{
		Asked: x.asked, BindName: bindName(id), Barred: string(e.Barred), Why: e.Why, Rules: verdicts(e),
		Account: accountJSON{
			Account: id.Handle(), UPN: id.UPN, Domain: id.Domain, DN: id.DN, SID: id.SID, GUID: id.GUID, Kind: string(id.Kind), Owner: id.Owner,
			State: stateName(id.State), Groups: groupList(id.Groups), Unheard: id.Unheard,
		},
		Request: requestJSON{
			Database: e.Request.Database, Source: e.Request.Source.String(), Method: string(e.Request.Method),
			Assurance: e.Request.Assurance, Role: e.Request.Role, Reason: e.Request.Reason,
		},
	}
	if g := e.Grant; g != nil {
		out.Grant = &grantJSON{
			Rule: g.Rule, Backend: g.Backend, Role: g.Role, Classes: g.Classes.Names(), Tags: list(g.Tags.Names()),
			Mode: string(g.Mode), Durability: string(g.Durability),
		}
	}
	if x.statement != nil {
		out.Statement = x.statement.json()
	}
	for _, s := range x.steps {
		out.Steps = append(out.Steps, stepJSON{s.name, int64(s.took / time.Microsecond)})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(&out)
}

func stateName(s auth.State) string {
	if barred := s.Barred(); barred != auth.CauseNone {
		return string(barred)
	}
	return "in_good_order"
}

func groupList(groups []auth.Group) []groupJSON {
	out := []groupJSON{}
	for _, g := range groups {
		out = append(out, groupJSON{g.Name, g.SID, g.DN})
	}
	return out
}

func verdicts(e *rules.Explanation) []verdictJSON {
	out := []verdictJSON{}
	for _, v := range e.Rules {
		j := verdictJSON{Rule: v.Rule, Chosen: v.Chosen, Matched: v.Matched}
		if v.Group != nil {
			j.Path = groupList(e.Groups.Path(v.Group.SID))
		}
		for _, f := range v.Failed {
			j.Failed = append(j.Failed, failedJSON{string(f.Condition), f.Why})
		}
		out = append(out, j)
	}
	return out
}

func (r *ruled) json() *statementJSON {
	out := &statementJSON{Unread: string(r.judgement.Cause), Statements: []ruledJSON{}}
	out.Decision, out.Why = r.verdict()
	for i := range r.judgement.Statements {
		s := &r.judgement.Statements[i]
		j := ruledJSON{Command: s.Command, Destructive: s.Destructive, Classes: list(s.Class.Names()), Tags: list(s.Tags.Names()), Objects: objects(s)}
		if len(r.each) > 0 {
			d := &r.each[i]
			j.Allowed, j.Missing, j.Kept = &d.Allowed, d.Missing, d.Kept
		}
		out.Statements = append(out.Statements, j)
	}
	return out
}

func objects(s *statement.Statement) (out []objectJSON) {
	for _, o := range s.Objects {
		out = append(out, objectJSON{o.Schema, o.Name, o.Kind, o.Use.String()})
	}
	return out
}

// list is never null.
func list(names []string) []string { return append([]string{}, names...) }
