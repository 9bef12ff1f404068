package trial

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/rules"
	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// ReplayOptions say what is replayed, over which rules.
type ReplayOptions struct {
	Rules *rules.Set
	// Resolve reads an account as it is now. Where it is nil, an account has the
	// one group that its session's rule matched.
	Resolve func(context.Context, auth.Identity) (auth.Identity, error)
	// Next returns one record after the other, and io.EOF behind the last.
	Next func() (*journal.Record, error)
	// Until is where the replay ends; the zero value: with the last record.
	Until time.Time
}

// Replay puts the statements that the journal holds to rules that are not in
// force, each with the classes, tags and objects that stand in its record.
func Replay(ctx context.Context, o ReplayOptions) (*Report, error) {
	r := &replay{ReplayOptions: o, report: newReport(), grants: map[situation]granted{}, sessions: map[string]*past{}, accounts: map[string]auth.Identity{}}
	for ctx.Err() == nil {
		record, err := o.Next()
		if errors.Is(err, io.EOF) || err == nil && !o.Until.IsZero() && !record.Time.Before(o.Until) {
			return r.report.finish(), nil
		}
		if err == nil {
			err = r.take(ctx, record)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, ctx.Err()
}

type replay struct {
	ReplayOptions
	report   *Report
	grants   map[situation]granted
	sessions map[string]*past
	accounts map[string]auth.Identity
}

// situation is what a grant depends on.
type situation struct {
	guid, database, method, role, reason, group string
	source                                      netip.Addr
}

type granted struct {
	grant *auth.Grant
	why   string // there is none
}

// past is a session of the journal.
type past struct {
	granted
	path auth.Path
	told bool // that it has no grant, or another role
}

func (r *replay) take(ctx context.Context, record *journal.Record) error {
	if record.Session == "" || record.Principal.GUID == "" || record.Rule == "" {
		return nil // it never came to a session
	}
	switch record.Type {
	case audit.SessionStart, audit.Statement:
	case audit.SessionEnd:
		delete(r.sessions, record.Session)
		return nil
	default:
		return nil
	}
	s, err := r.session(ctx, record)
	if err != nil || record.Type == audit.SessionStart {
		return err
	}
	r.report.Statements++
	r.statement(s, record)
	return nil
}

// session finds what the rules give the session of the record.
func (r *replay) session(ctx context.Context, record *journal.Record) (*past, error) {
	s := r.sessions[record.Session]
	if s == nil {
		g, err := r.choose(ctx, record)
		if err != nil {
			return nil, err
		}
		s = &past{granted: g}
		r.sessions[record.Session] = s
		r.report.begin(record)
	}
	if record.Type == audit.SessionStart && strings.Contains(strings.ToLower(" "+record.Detail), " search_path=") {
		s.path = auth.PathUnknown
	}
	if !s.told {
		s.told = true
		switch {
		case s.grant == nil:
			r.report.add(NoSession, record, "", s.why)
		case s.grant.Role != record.Role || s.grant.Backend != record.Backend:
			r.report.add(OtherRole, record, s.grant.Rule, "role "+s.grant.Role+" on backend "+s.grant.Backend)
		}
	}
	return s, nil
}

// choose asks the rules: for what the client gets without asking for a role, and
// where that is another than it had, for the role it had.
func (r *replay) choose(ctx context.Context, record *journal.Record) (granted, error) {
	source, err := netip.ParseAddrPort(record.Source.Address)
	if err != nil {
		return granted{why: "no_source"}, nil //nolint:nilerr // a record of something else
	}
	key := situation{
		guid: keyOf(&record.Principal), database: record.Database, method: record.Method, role: record.Role,
		reason: record.Reason, group: record.Group, source: ipaddr.Plain(source.Addr()),
	}
	if g, known := r.grants[key]; known {
		return g, nil
	}
	id, err := r.identity(ctx, record)
	if err != nil {
		return granted{}, err
	}
	req := auth.Request{Database: key.database, Source: key.source, Method: auth.Method(key.method), Reason: key.reason}
	g, err := r.Rules.Choose(id, req)
	if err != nil || g.Role != record.Role {
		req.Role = record.Role
		if asked, askedErr := r.Rules.Choose(id, req); askedErr == nil {
			g, err = asked, nil
		}
	}
	out := granted{grant: g}
	var f *auth.Failure
	if errors.As(err, &f) {
		out = granted{why: strings.TrimSuffix(string(f.Cause)+": "+f.Detail, ": ")}
	} else if err != nil {
		return granted{}, err
	}
	if len(r.grants) < mostFindings {
		r.grants[key] = out
	}
	return out, nil
}

// keyOf tells accounts apart: a GUID is a domain's own word, and so is a SID.
func keyOf(p *audit.Principal) string { return p.SID + "/" + p.GUID }

// identity is the account as it is now, or as the record knows it.
func (r *replay) identity(ctx context.Context, record *journal.Record) (auth.Identity, error) {
	p := &record.Principal
	recorded := auth.Identity{
		Account: p.Account, UPN: p.UPN, DN: p.DN, SID: p.SID, GUID: p.GUID, Kind: auth.Kind(p.Kind), Owner: p.Owner,
		Groups: []auth.Group{{Name: record.Group}, {SID: record.Group}, {DN: record.Group}},
	}
	if r.Resolve == nil {
		return recorded, nil
	}
	id, known := r.accounts[keyOf(p)]
	if known && id.GUID != "" {
		return id, nil
	}
	if known {
		return recorded, nil
	}
	id, err := r.Resolve(ctx, recorded)
	var f *auth.Failure
	switch {
	case err == nil:
	case errors.As(err, &f) && (f.Cause == auth.CauseNoSuchAccount || f.Cause == auth.CauseIdentityMismatch || f.Cause == auth.CauseUnknownDomain):
		r.report.Gone = append(r.report.Gone, p.Account)
		r.accounts[keyOf(p)] = auth.Identity{}
		return recorded, nil
	default:
		return auth.Identity{}, err
	}
	r.accounts[keyOf(p)] = id
	return id, nil
}

func (r *replay) statement(s *past, record *journal.Record) {
	was := record.Decision
	if s.grant == nil || s.grant.Backend != record.Backend {
		return // said once, of the session
	}
	st := read(record)
	d := decide(s.grant, &st, s.path, record)
	if d.Allowed {
		s.path = after(s.path, &st)
		if was == audit.Denied && record.Missing != "" {
			r.report.add(NowAllowed, record, s.grant.Rule, record.Missing)
		}
		return
	}
	missing := d.Missing
	if d.Kept != "" {
		missing = "object " + d.Kept
	}
	switch {
	case was == audit.Denied:
		r.report.Still++
	case s.grant.Mode == auth.Observe:
		r.report.add(WouldDeny, record, s.grant.Rule, missing)
	default:
		r.report.add(Denied, record, s.grant.Rule, missing)
	}
}
