// Package syslog is the sink that sends the audit record to a syslog server: RFC
// 5424 messages over TLS (RFC 5425), each with the record as JSON behind structured
// data that says what most is filtered by.
//
// Syslog has no acknowledgement. A record counts as delivered when the server's
// system has taken every byte and the connection still stands; what was sent
// shortly before a connection broke is sent again on the next one. Stream and
// sequence, which are in the structured data, tell a repetition.
package syslog
