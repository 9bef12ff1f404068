// Package faults cuts what the proxy talks over, at each place: the connections of
// its clients, to its backend and to its domain controller go through wires that are
// cut before the k-th piece of what travels, for all k of a session that does
// everything, in both directions, by FIN and by RST. A cut costs that session at
// most: it ends at both sides, it is on record to its end, whoever can still be told
// is told why, and nothing of it is left in the proxy.
package faults
