// Package stdout is the sink that prints the audit record, one JSON object on each
// line: for containers, whose runtime takes the standard output on.
package stdout
