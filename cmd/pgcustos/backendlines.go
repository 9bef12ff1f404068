package main

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pgcustos/pgcustos/internal/ipaddr"
	"github.com/pgcustos/pgcustos/proxy/backend"
)

// proxies settles where the server sees the proxy come from: as told, or by the
// route of this machine to each host.
func (s *setup) proxies(told []string) error {
	for _, t := range told {
		p, err := ipaddr.ParseNetwork(t)
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		s.from = append(s.from, p)
	}
	if len(told) > 0 {
		return nil
	}
	for _, h := range s.options.Hosts {
		a, err := routeTo(h)
		if err != nil {
			return fmt.Errorf("where the proxy comes from cannot be told, say it by --from: %w", err)
		}
		if p := ipaddr.Single(a); !slices.Contains(s.from, p) {
			s.from = append(s.from, p)
		}
	}
	return nil
}

// routeTo returns the address that this machine has for a host. Nothing is sent.
func routeTo(h backend.Host) (netip.Addr, error) {
	conn, err := net.Dial("udp", net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port))))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	return ipaddr.Of(conn.LocalAddr()).Addr(), nil
}

// instruct prints what the server needs.
func (s *setup) instruct() {
	file := filepath.Base(s.files.CA)
	s.say("postgresql.conf, with a copy of %s in the server's data directory. Where ssl_ca_file", file)
	s.say("is set already, append %s to that file instead:", file)
	s.say("    ssl_ca_file = '%s'\n", strings.ReplaceAll(file, "'", "''"))
	s.say("pg_hba.conf, above all other lines that these roles could match:")
	for _, line := range s.hba() {
		s.say("    %s", line)
	}
	s.say("\npg_ident.conf:\n    %s\n", backend.IdentPattern)
	s.say("psql, as a superuser of the server:")
	for _, role := range slices.Sorted(slices.Values(s.options.Authority.Roles)) {
		s.say("    CREATE ROLE %s LOGIN PASSWORD NULL;", role)
	}
	s.say("    SELECT pg_reload_conf();\n")
}

// hba lists the lines that let each role in, from the proxy alone and by
// certificate alone, to the databases that rules let it into.
func (s *setup) hba() []string {
	var lines []string
	uses := roleDatabases(s.config, s.options.Name)
	if reader := s.config.Catalogs[s.options.Name].Role; reader != "" {
		uses[reader] = catalogDatabases(uses) // where sessions are, it reads
	}
	for _, role := range slices.Sorted(slices.Values(s.options.Authority.Roles)) {
		databases := uses[role]
		if slices.Contains(databases, "*") {
			databases = []string{"all"}
		} else {
			databases = quoted(databases)
		}
		for _, p := range s.from {
			lines = append(lines, fmt.Sprintf("hostssl %s %s %s cert map=pgcustos clientname=DN",
				strings.Join(databases, ","), quoteName(role), p))
		}
	}
	return lines
}

func quoted(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range slices.Sorted(slices.Values(names)) {
		out = append(out, quoteName(n))
	}
	return out
}

// quoteName quotes a name of pg_hba.conf that is not plain, or is a keyword there.
func quoteName(s string) string {
	if backend.CertifiableRole(s) && !slices.Contains([]string{"all", "sameuser", "samerole", "samegroup", "replication"}, s) {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
