// Package auth says who a client is and what it may do: identities, the ways to
// prove one, grants, and the decision on a statement. It does no I/O; the
// directory lives in auth/directory, the rules in auth/rules.
package auth
