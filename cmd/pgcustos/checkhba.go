package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgcustos/pgcustos/cmd/pgcustos/hba"
	"github.com/pgcustos/pgcustos/internal/ipaddr"
)

// access is what pg_hba.conf says, where a role of the host may read it.
type access struct {
	conn  *pgx.Conn
	lines []hba.Line
	from  netip.Prefix // the proxy, as the server sees it; invalid at a Unix socket
}

// accessLines reads pg_hba.conf as it is on the disk. Lines with an error let
// nobody in: the server does not load a file that has one.
const accessLines = `
SELECT line_number, type, database, user_name, coalesce(address, ''), coalesce(netmask, ''), auth_method, coalesce(options, '{}')
FROM pg_catalog.pg_hba_file_rules WHERE error IS NULL ORDER BY line_number`

// readAccess reads pg_hba.conf by a role's session, if it may and no other could.
func (p *probe) readAccess(ctx context.Context, conn *pgx.Conn) bool {
	if p.access != nil {
		return false
	}
	rows, err := conn.Query(ctx, accessLines)
	if err != nil {
		return false
	}
	lines, err := pgx.CollectRows(rows, pgx.RowToStructByPos[hba.Line])
	if err != nil {
		return false
	}
	a := &access{conn: conn, lines: lines}
	var from *netip.Addr
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.inet_client_addr()").Scan(&from); err != nil {
		return false
	}
	if from != nil {
		a.from = ipaddr.Single(*from)
	}
	p.access = a
	return true
}

// elsewhere warns of roles that may log in from elsewhere than the proxy: what they
// do there is not on record.
func (p *probe) elsewhere(ctx context.Context, roles []string) {
	where := fmt.Sprintf("backend %s (%s:%d)", p.options.Name, p.host.Host, p.host.Port)
	if p.access == nil {
		if p.conn != nil {
			p.line("note", "%s: who may log in from elsewhere is not known: none of its roles may read pg_hba_file_rules", where)
		}
		return
	}
	networks := p.from
	if len(networks) == 0 && p.access.from.IsValid() {
		networks = []netip.Prefix{p.access.from}
	}
	for _, role := range roles {
		lines := hba.Elsewhere(p.access.lines, role, func(user string) bool { return p.means(ctx, user, role) }, networks)
		if len(lines) == 0 {
			p.ok("%s: pg_hba.conf lets it in from nowhere else", p.name(role))
			continue
		}
		const most = 5
		var told []string
		for _, l := range lines[:min(most, len(lines))] {
			told = append(told, l.String())
		}
		if len(lines) > most {
			told = append(told, fmt.Sprintf("and %d more", len(lines)-most))
		}
		p.warn("%s: may log in from elsewhere, past the proxy, by pg_hba.conf %s: let it in from %s alone", p.name(role), strings.Join(told, ", "), these(networks))
	}
}

func these(networks []netip.Prefix) string {
	if len(networks) == 0 {
		return "the socket"
	}
	out := make([]string, len(networks))
	for i, n := range networks {
		out[i] = n.String()
	}
	return strings.Join(out, ", ")
}

// means asks the server whether a group or an expression is about a role; in doubt
// it is.
func (p *probe) means(ctx context.Context, user, role string) bool {
	query := "SELECT pg_catalog.pg_has_role($1::name, $2::name, 'MEMBER')"
	if strings.HasPrefix(user, "/") {
		query = "SELECT $1::text ~ $2::text"
	}
	yes := true
	if err := p.access.conn.QueryRow(ctx, query, role, user[1:]).Scan(&yes); err != nil {
		return sqlstate(err) != undefinedObject
	}
	return yes
}
