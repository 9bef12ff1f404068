package wire

import (
	"fmt"
	"slices"
)

// difference is one that is meant: why, and what the proxy answers instead.
type difference struct {
	why     string
	proxied []string
}

// designed lists the scripts that the proxy answers otherwise than PostgreSQL.
var designed = map[string]difference{
	"denied-parse-unnamed": {
		why: "a refusal travels under a reserved name, so that the client's unnamed statement stays; " +
			"natively a Parse of the unnamed statement that fails destroys the old one",
		proxied: []string{
			"ParseComplete", "ReadyForQuery I",
			"ErrorResponse", "ReadyForQuery I",
			"BindComplete", "DataRow", "CommandComplete", "ReadyForQuery I",
		},
	},
	"gss": {
		why:     "GSS encryption is answered with no: the statements have to be read",
		proxied: []string{"'N'", "closed"},
	},
	"tls-direct": {
		why:     "TLS without a request for it is taken, with ALPN, as since PostgreSQL 17",
		proxied: []string{"TLS postgresql", "closed"},
	},
	"tls-direct-and-requests": {
		why: "inside of it a request for encryption is answered with no, as since PostgreSQL 17",
		proxied: []string{
			"TLS postgresql", "'N'", "'N'",
			"ErrorResponse S=FATAL V=FATAL C=0A000 M=unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2", "closed",
		},
	},
	"tls-direct-without-alpn": {
		why:     "likewise",
		proxied: []string{"TLS", "closed"},
	},
	"tls-alpn-postgresql": {
		why:     "ALPN is agreed on, as since PostgreSQL 17",
		proxied: []string{"'S'", "TLS postgresql", "Authentication 3", "Authentication 0", "BackendKeyData of 8 bytes", `ReadyForQuery "I"`, "closed"},
	},
	"protocol-3.2":    {why: newest, proxied: speaking32("")},
	"protocol-3.3":    {why: newest, proxied: speaking32("NegotiateProtocolVersion \"\\x00\\x03\\x00\\x02\\x00\\x00\\x00\\x00\"")},
	"protocol-3.9999": {why: newest, proxied: speaking32("NegotiateProtocolVersion \"\\x00\\x03\\x00\\x02\\x00\\x00\\x00\\x00\"")},
	"protocol-2.0":    {why: newest, proxied: []string{"'S'", "TLS", refusedLegacy("2.0"), "closed"}},
	"protocol-1.0":    {why: newest, proxied: []string{"'S'", "TLS", refusedLegacy("1.0"), "closed"}},
	"plain-protocol-2.0": {
		why: newest, proxied: []string{refusedLegacy("2.0"), "closed"},
	},
	"database-unknown": {
		why:     "without a rule for the database there is no session, and the client hears what it would for a wrong password",
		proxied: []string{"'S'", "TLS", "Authentication 3", "ErrorResponse S=FATAL V=FATAL C=28P01", "closed"},
	},
	"pq-option-in-options": {
		why: "the words of the start-up packet are not taken for settings in options",
		proxied: []string{
			"'S'", "TLS", "Authentication 3", "Authentication 0",
			`ErrorResponse S=FATAL V=FATAL C=42704 M=unrecognized configuration parameter "_pq_.a"`, "closed",
		},
	},
}

const newest = "the proxy speaks protocol 3.2, as PostgreSQL 18 does"

func speaking32(negotiation string) []string {
	lines := []string{"'S'", "TLS", negotiation, "Authentication 3", "Authentication 0", "BackendKeyData of 36 bytes", `ReadyForQuery "I"`, "closed"}
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
}

func refusedLegacy(version string) string {
	return fmt.Sprintf("cut off: %q", "EFATAL:  unsupported frontend protocol "+version+": server supports 3.0 to 3.2\n\x00")
}
