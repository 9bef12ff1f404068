// Package proxy is the server and the life of a session in it, which reads from
// top to bottom in session.run:
//
//	accept ─ limits ─ TLS ─ start-up ─ authenticate ─ choose grant ─ record ─ log in at backend ─ greet ─ relay ─ end
//	 serve.go         └──startup──┘    authenticate.go  grant.go               connect.go                  └ driver ┘
//
// A client session is one backend session, whose session user is the scoped role
// of the grant. Nothing is pooled and nothing is shared between principals. The
// server also keeps what touches live sessions from outside: cancel keys
// (cancel.go), limits (watch.go), a reload or a change in the directory
// (rejudge.go), the drain at a shut-down (shutdown.go), and another process that
// accepts in its place (cede.go).
package proxy
