// Package directory asks Active Directory who somebody is: it proves a password
// by a simple bind inside TLS, and reads the account's state and its groups,
// nested ones included.
//
// Accounts are read by a reading account on a few connections that are kept, and
// clients are bound on others, which carry nothing but binds: no operation ever
// runs with somebody else's rights. Controllers are asked
// in the order of the configuration, or of DNS; one that did not answer is asked
// last until it has answered to somebody who did not log in.
//
// There can be several domains. The form of a name decides which one is asked, and no
// other is; each vouches for its own SIDs, places and UPN suffixes alone, and tells of
// its own groups, which people of the others can be in.
//
// Who is in which groups is asked at each log-in; what these are called is known from
// one to the next, while somebody watches.
//
// Whatever the directory says is judged as coming from outside: answers are
// bounded in bytes, entries and time, referrals are never followed, and what is
// missing from an answer refuses the log-in.
//
// This is the only package that imports an LDAP library, and none of that
// library's types leave it.
package directory
