// Command conformance runs foreign test suites and drivers against PostgreSQL
// directly and through the proxy, and says what differs: PostgreSQL's regression and
// isolation suites and libpq_pipeline, its tools, and a broad script for each of
// nine drivers. What PostgreSQL says directly is the oracle.
//
//	conformance -postgres 15=/usr/lib/postgresql/15/bin,18=/tmp/pg18/bin [-suites drivers,tools]
//
// The suites are programs in suites/, run once for each way with the connection in
// PG* variables, in a directory of their own: what they leave in it is compared.
package main
