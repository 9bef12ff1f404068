// Package lifecycle changes accounts, groups and the directory itself under live
// sessions of a proxy, with a real domain controller and a real PostgreSQL.
package lifecycle
