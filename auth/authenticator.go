package auth

import (
	"context"
	"fmt"
	"net/netip"
)

// Authenticator proves a name and a password against the directory.
//
// The error is a *Failure whenever the log-in is refused; its cause is for the
// record alone, the client hears one uniform message. The source is where the
// client comes from: wrong passwords are counted by it. The secret stays the
// caller's, who wipes it.
type Authenticator interface {
	Authenticate(ctx context.Context, name string, source netip.Addr, password *Secret) (Identity, error)
}

// Resolver reads an account without its password.
type Resolver interface {
	// Lookup finds the account by any form of its name.
	Lookup(ctx context.Context, name string) (Identity, error)
	// Refresh reads the account again, by its GUID. A deleted account is a
	// Failure with CauseNoSuchAccount.
	Refresh(ctx context.Context, id Identity) (Identity, error)
}

// Cause says exactly why a log-in failed or an account is kept out. It stands in
// records and never reaches a client.
type Cause string

// The causes.
const (
	CauseNone             Cause = ""
	CauseEmptyPassword    Cause = "empty_password"
	CauseMalformedName    Cause = "malformed_name"
	CauseWrongPassword    Cause = "wrong_password"     // also: an account that does not exist, for a controller that does not tell
	CauseNoSuchAccount    Cause = "no_such_account"    //
	CauseNotAPerson       Cause = "not_a_user_account" // a computer, a group
	CauseDisabled         Cause = "disabled"           // AcceptSecurityContext error, data 533
	CauseAccountExpired   Cause = "account_expired"    // 701
	CauseLockedOut        Cause = "locked_out"         // 775
	CausePasswordExpired  Cause = "password_expired"   // 532
	CauseMustChange       Cause = "password_must_change"
	CauseLogonHours       Cause = "logon_hours"        // 530
	CauseWorkstation      Cause = "workstation"        // 531
	CauseRestricted       Cause = "account_restricted" // 52f: Protected Users and their kin
	CauseDirectoryDown    Cause = "directory_unavailable"
	CauseDirectoryAnswer  Cause = "directory_answer" // it answered what cannot be: two hits, no SID
	CauseNoPassword       Cause = "no_password_given"
	CauseTooManyAttempts  Cause = "too_many_attempts"
	CauseIdentityMismatch Cause = "identity_mismatch"
	CauseNoMatchingRule   Cause = "no_matching_rule"

	// Of several domains.
	CauseUnknownDomain  Cause = "unknown_domain"        // none of those that are configured
	CauseDomainNotNamed Cause = "domain_not_named"      // a name without one, which could be of any
	CauseForeignSID     Cause = "sid_of_another_domain" // a domain vouches for its own SIDs alone

	CauseThrottled Cause = "throttled"          // too many wrong passwords, of the account or from the address
	CauseMethod    Cause = "method_not_allowed" // the way in that the client asks for

	// Of live sessions.
	CauseKilled        Cause = "killed" // by an operator
	CauseLocked        Cause = "locked" // by an operator: log-ins, too
	CauseDeleted       Cause = "deleted"
	CausePasswordReset Cause = "password_reset"
	CauseAnotherGrant  Cause = "another_grant"         // the rules give another role or backend now
	CauseStatement     Cause = "statement_not_allowed" // the rules do not let pass what it streams any more

	// Of tickets.
	CauseNoTicket        Cause = "no_ticket_given"            // the client gave up: it got none for this service
	CauseTicketMalformed Cause = "ticket_malformed"           //
	CauseTicketKey       Cause = "ticket_key_unknown"         // none of the keytab's
	CauseTicketForged    Cause = "ticket_forged"              // not made by the domain, or shown by somebody who stole it
	CauseTicketExpired   Cause = "ticket_expired"             //
	CauseTicketEarly     Cause = "ticket_not_yet_valid"       //
	CauseTicketReplayed  Cause = "ticket_replayed"            //
	CauseTicketService   Cause = "ticket_for_another_service" //
	CauseTicketRealm     Cause = "ticket_of_another_realm"    //
	CauseTicketAddress   Cause = "ticket_of_another_address"  //
	CauseClockSkew       Cause = "clock_skew"                 // the client's
	CauseNoPAC           Cause = "ticket_without_pac"

	// Of certificates.
	CauseNoCertificate        Cause = "no_certificate_shown"
	CauseCertificateMalformed Cause = "certificate_malformed"
	CauseCertificateUntrusted Cause = "certificate_untrusted" // of no authority that is trusted
	CauseCertificateExpired   Cause = "certificate_expired"
	CauseCertificateEarly     Cause = "certificate_not_yet_valid"
	CauseCertificateUsage     Cause = "certificate_for_another_use"
	CauseCertificateRevoked   Cause = "certificate_revoked"
	CauseRevocationUnknown    Cause = "certificate_revocation_unknown" // no list of its issuer is in force
	CauseCertificateNameless  Cause = "certificate_names_no_account"
)

// Failure is a refused log-in.
type Failure struct {
	Cause  Cause
	Detail string // what the directory said, for the record
	Err    error  // what lay below; may be nil
	// Identity is as much of the account as was learnt before the refusal.
	Identity Identity
}

// Error implements error. It is for logs of the proxy, never for a client.
func (f *Failure) Error() string {
	if f.Detail == "" {
		return fmt.Sprintf("authentication failed: %s", f.Cause)
	}
	return fmt.Sprintf("authentication failed: %s: %s", f.Cause, f.Detail)
}

// Unwrap returns what lay below.
func (f *Failure) Unwrap() error { return f.Err }
