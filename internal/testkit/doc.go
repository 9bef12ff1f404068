// Package testkit starts what tests and the demonstration talk to: a real
// Active Directory domain controller (Samba), a real PostgreSQL 15 cluster, and
// the certificates of both.
//
// Everything lives under one short directory each, listens on loopback, and is
// gone when it is stopped. The programs come from Debian's packages, which
// install.sh beside this file puts in place; a program that is missing is an
// error that names its package.
//
// A program uses StartController and StartPostgres. A test uses NewController
// and NewPostgres for ones of its own, or SharedController and SharedPostgres
// for those that Main keeps for the whole package:
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
package testkit
