// Package oracle measures what the record says of statements against what
// PostgreSQL itself says of them.
//
// A corpus is sent through the proxy to a server with pgAudit, which logs what it
// executes, class by class, and with an event trigger, which logs what is dropped.
// A comment that does nothing goes ahead of each item, and tells in both places
// which one comes next. Then the two are compared: what the server says and the
// record does not is a miss, what the record says beyond it is not, as long as it
// is explained (docs/classification.md).
package oracle
