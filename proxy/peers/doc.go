// Package peers passes cancel requests on between replicas. Behind a balancer a
// CancelRequest is a connection of its own, and comes to any of them; its key says
// which one has the session.
//
// Each replica listens for the others with TLS 1.3, where both ends show a certificate
// of the same authority that names the node. A connection carries one cancel: a line
// of JSON with the key and the address it came from, and a line in return. A replica
// that is asked looks among its own sessions, and asks no other one: a cancel takes
// one hop at most, and strangers can send none.
package peers
