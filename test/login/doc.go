// Package login is how clients get in: by ticket and by password, what keeps them
// out, and what a controller that does not answer does to those who are in. All
// of it with psql and a real controller; each test asks for the client's message
// and for the cause on record.
package login
