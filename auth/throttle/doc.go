// Package throttle keeps wrong passwords below the number at which a directory
// locks an account, so that nobody can lock accounts out by way of the proxy.
//
// A directory counts the wrong passwords of an account in a row, and forgets them
// after some time without one or at the right one. The throttle counts likewise,
// what is under way included, and stops at a margin below. So that a stranger who
// makes it stop does not keep the account's owner out, it gives of that budget
//
//   - to one address a part,
//   - to all addresses from which the account has not logged in lately a larger
//     part,
//   - and the rest to those from which it has.
//
// An address that guesses at many accounts is stopped by a count of its own. What
// succeeds counts nowhere.
//
// Nothing is kept on disk, and what is kept is bounded.
package throttle
