package auth

import (
	"crypto/x509"
	"time"
)

// Certifier proves client certificates.
//
// The chain is what a client showed in its TLS handshake, which has proved that it
// holds the key of the first. The error is a *Failure whenever the log-in is
// refused; beside it the Shown holds what was learnt.
type Certifier interface {
	Verify(chain []*x509.Certificate) (Shown, error)
}

// Shown is what a certificate says that was proved. It is no more than a name:
// the account's state and groups are the directory's to tell.
type Shown struct {
	Name    string    // of the account, in one of the forms that clients use
	SID     string    // the account's; empty where the certificate does not say
	Subject string    //
	Serial  string    // decimal
	Ends    time.Time // the first of the chain to end
}
