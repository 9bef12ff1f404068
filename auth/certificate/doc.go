// Package certificate proves client certificates: chain, validity, use, revocation,
// and which account of the directory it names, by its UPN or by a table of
// subjects.
//
// A certificate is a statement of the past: who holds one may have been disabled
// since. So what it says is a name, and the account's SID where the domain's own
// authority has put that in; state and groups are the directory's to tell, see
// auth.Resolver.
package certificate
