package backend

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"
)

// The subject of a client certificate: O=pgcustos, OU=<role>, CN=<principal>.
// PostgreSQL prints it from its end (X509_NAME_print_ex with XN_FLAG_RFC2253),
// and pg_ident.conf takes the role out of that:
//
//	CN=alice@corp.example.com,OU=app_ro_orders,O=pgcustos
const organization = "pgcustos"

// IdentPattern is the line of pg_ident.conf, in the map of that name, by which a
// certificate logs in as the role that it was signed for, and as no other.
const IdentPattern = `pgcustos  "/^CN=[^,]+,OU=([a-z0-9_]+),O=pgcustos$"  \1`

// maxCommonName bounds the encoded name, in bytes. A directory's own names are far
// below it.
const maxCommonName = 512

// prober is the principal of the certificates that probe a set-up. No account's
// name is encoded so, for a percent sign is followed by two digits there.
const prober = "%check"

// CommonName encodes a principal's name: letters, in lower case, digits and . _ - @
// stand for themselves, every other byte is a percent sign and two hexadecimal
// digits. So no name holds anything that a distinguished name or the pattern could
// take for its own, and two names that differ in more than the case of A to Z are
// never one.
func CommonName(principal string) (string, error) {
	var b strings.Builder
	for _, c := range []byte(principal) {
		switch {
		case plain(c):
			b.WriteByte(c)
		case c >= 'A' && c <= 'Z':
			b.WriteByte(c - 'A' + 'a')
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	switch {
	case b.Len() == 0:
		return "", errors.New("a certificate is asked for that names nobody")
	case b.Len() > maxCommonName:
		return "", fmt.Errorf("the principal's name is too long for a certificate: %d bytes of %d", b.Len(), maxCommonName)
	}
	return b.String(), nil
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' || c == '@'
}

// CertifiableRole reports whether the pattern can take the role out of a
// certificate.
func CertifiableRole(role string) bool {
	for _, c := range []byte(role) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return role != ""
}

func subject(commonName, role string) pkix.Name {
	return pkix.Name{Organization: []string{organization}, OrganizationalUnit: []string{role}, CommonName: commonName}
}
