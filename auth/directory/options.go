package directory

import (
	"crypto/x509"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/auth/throttle"
)

// Options say which domain to ask, where, and as whom.
type Options struct {
	Domain  string // DNS name: corp.example.com
	NetBIOS string // CORP
	// Suffixes are further UPN suffixes of the domain's accounts, in lower case.
	Suffixes []string
	// SID is the domain's, S-1-5-21-…, where there are several: it vouches for its
	// own SIDs, names and places, and for nothing else. Where it is empty there is no
	// other domain, and whatever the directory says is taken.
	SID         string
	Controllers []string // ldaps://dc1.corp.example.com:636, asked in this order
	// Discover has the controllers looked up in DNS instead: at NameServer, host:port,
	// or the system's where it is empty. What DNS says is not proved by anything: their
	// certificates must name the domain, or ServerName, which those of other hosts
	// do not.
	Discover   bool
	NameServer string
	// StartTLS allows ldap:// URLs, on which nothing is said before TLS is on; of
	// those that are discovered it makes such.
	StartTLS bool
	CA       *x509.CertPool // nil for the system's
	// ServerName is what the controllers' certificates must name, where it is
	// not the host of the URL.
	ServerName string
	// BindName and BindPassword are the account that reads others. The password is
	// read at each use, so that rotation needs no restart; each call returns a
	// secret of its own, which the directory wipes.
	BindName     string
	BindPassword func() (*auth.Secret, error)
	// Timeout bounds each dial and each operation.
	Timeout time.Duration
	// Recheck is how often the accounts of live sessions are read whole, beside what
	// Watch notices by itself; a minute where it is 0.
	Recheck time.Duration
	// Throttle counts wrong passwords, over configurations; one of the directory's
	// own where it is nil.
	Throttle *throttle.Throttle
	// Guesses says how many it lets through. Its Threshold and Window are what the
	// domain is taken to have where that is stricter than what it says of itself:
	// for fine-grained password policies. 0 for nothing.
	Guesses throttle.Policy
	// Services are the accounts declared as services: by sAMAccountName, as auth.FoldName has it.
	Services map[string]auth.Terms
}
