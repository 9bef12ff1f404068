// Package auditors tests how the record is read: with psql through the proxy, from
// a database that a sink delivers to.
package auditors
