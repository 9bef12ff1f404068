// Package principal is what a backend knows of who is there: by certificates that
// the proxy signs, at PostgreSQL 15 and 18, set up as an operator does. All of it
// with the real program.
package principal
