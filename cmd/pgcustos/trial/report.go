package trial

import (
	"cmp"
	"slices"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// Report is what a replay found.
type Report struct {
	From       time.Time `json:"from,omitzero"` // of the first session
	To         time.Time `json:"to,omitzero"`   // of the last record that was looked at
	Sessions   int       `json:"sessions"`
	Principals int       `json:"principals"`
	Statements int       `json:"statements"`
	Still      int       `json:"still_denied"` // statements denied then and by the new rules
	// Findings are what would be otherwise, the most frequent of each kind first.
	Findings []*Finding `json:"findings"`
	// More are findings beyond the first 10,000, which are counted only.
	More int `json:"more,omitempty"`
	// Gone are accounts that the directory does not have any more: they were
	// judged by the group that is on record.
	Gone []string `json:"gone,omitempty"`

	found      map[finding]*Finding
	principals map[string]bool
}

// Kind is in what way something would be otherwise.
type Kind string

// The kinds of finding.
const (
	NoSession  Kind = "no_session"  // the rules give the session nothing
	OtherRole  Kind = "other_role"  // they give it another role or backend
	Denied     Kind = "denied"      // a statement that ran would be denied
	WouldDeny  Kind = "would_deny"  // the same under mode: observe
	NowAllowed Kind = "now_allowed" // a statement that was denied would run
)

var kinds = []Kind{Denied, WouldDeny, NoSession, OtherRole, NowAllowed}

// Finding is what would be otherwise for one account, in one way.
type Finding struct {
	Kind      Kind   `json:"kind"`
	Principal string `json:"principal"`
	Was       string `json:"was"`            // the rule that is on record
	Rule      string `json:"rule,omitempty"` // the new one
	// Why is what the grant lacks, or why there is no session.
	Why      string    `json:"why"`
	Command  string    `json:"command,omitempty"`
	Count    int       `json:"count"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Examples []Example `json:"examples"`
}

// Example is a record to look at.
type Example struct {
	Session  string `json:"session"`
	Stream   string `json:"stream"`
	Sequence uint64 `json:"sequence"`
	Incident string `json:"incident,omitempty"`
	Text     string `json:"text,omitempty"` // its first 200 characters
}

type finding struct {
	kind                          Kind
	principal, was, rule, why, do string
}

const (
	mostFindings = 10_000
	mostExamples = 3
	mostText     = 200
)

func newReport() *Report {
	return &Report{Findings: []*Finding{}, found: map[finding]*Finding{}, principals: map[string]bool{}}
}

func (r *Report) begin(record *journal.Record) {
	r.Sessions++
	r.principals[keyOf(&record.Principal)] = true
	r.see(record)
}

func (r *Report) see(record *journal.Record) {
	if r.From.IsZero() {
		r.From = record.Time
	}
	r.To = record.Time
}

func (r *Report) add(kind Kind, record *journal.Record, rule, why string) {
	r.see(record)
	who, command, text := cmp.Or(record.Principal.UPN, record.Principal.Account), record.Command, record.Text
	if kind == NoSession || kind == OtherRole {
		command, text = "", "" // it is of the whole session, whatever came first
	}
	key := finding{kind, who, record.Rule, rule, why, command}
	f := r.found[key]
	if f == nil {
		if len(r.found) >= mostFindings {
			r.More++
			return
		}
		f = &Finding{Kind: kind, Principal: who, Was: record.Rule, Rule: rule, Why: why, Command: command, First: record.Time}
		r.found[key] = f
		r.Findings = append(r.Findings, f)
	}
	f.Count++
	f.Last = record.Time
	if len(f.Examples) < mostExamples {
		f.Examples = append(f.Examples, Example{
			Session: record.Session, Stream: record.Stream, Sequence: record.Sequence, Incident: record.Incident, Text: head(text),
		})
	}
}

func head(s string) string {
	if runes := []rune(s[:min(len(s), 4*mostText)]); len(runes) > mostText {
		return string(runes[:mostText]) + "…"
	}
	return s
}

func (r *Report) finish() *Report {
	r.Principals = len(r.principals)
	slices.SortStableFunc(r.Findings, func(a, b *Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(b.Count, a.Count))
	})
	return r
}

// Denies reports whether something that ran would not run.
func (r *Report) Denies() bool {
	return slices.ContainsFunc(r.Findings, func(f *Finding) bool { return f.Kind == Denied || f.Kind == NoSession })
}
