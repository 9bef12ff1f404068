// Package postgres is the sink that stores the audit record in a PostgreSQL
// database, where people query it with psql, through the proxy as anything else.
//
// [Init] makes and migrates the schema pgcustos: the table events, a partition for
// each day, the views that answer what is asked most, and the roles audit_writer,
// which may insert and nothing else, and audit_reader, which may read the views.
//
// A [Sink] writes each batch in one transaction: it claims the positions of the
// batch's streams, which locks them, copies what they do not have yet, and sets
// them. So each record is stored once, by construction, also when a connection is
// lost around the commit, or two processes deliver one stream.
package postgres
