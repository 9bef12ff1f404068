// Package behind tries, with the real program, PostgreSQL and domain controller, to
// reach through other names what a rule keeps from a session.
package behind
