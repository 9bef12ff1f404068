// Package kerberos accepts Kerberos tickets: it checks the token that a client
// answers AuthenticationGSS with, says whose ticket it is, and makes the answer
// by which the client knows the proxy (mutual authentication).
//
// A ticket is a snapshot: who holds one may have been disabled since. So what it
// says is the account's SID and nothing that is granted on; state and groups are
// the directory's to tell, see auth.Resolver. Of the ticket's own SIDs a rule may
// ask for some by name: that of a log-on by smart card is nowhere else.
//
// The library underneath decrypts and decodes. What it leaves open is closed
// here, each with a test: it panics on a cipher that is too short, believes the
// client's word for its realm, has a race in its replay cache, lets tickets live
// for five minutes after their end, and takes tickets without a PAC. Its acceptor
// is not used.
//
// This is the only package that imports a Kerberos library, and none of that
// library's types leave it.
package kerberos
