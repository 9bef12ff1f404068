// Package trial tells what rules would make of statements without a server: of
// those in an operator's table, and of those that the journal holds.
package trial
