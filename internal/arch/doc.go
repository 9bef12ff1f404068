// Package arch holds the tests of the repository's own structure: which package
// may import which, and that each has a doc comment.
package arch
