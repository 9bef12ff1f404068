// Package confine takes from a process what it does not need to read SQL: the
// means to grow, to reach files, programs, other processes and the network.
//
// It is for a parser worker and for nothing else. On Linux it happens in two
// stages: Limit sets what must stand before the program begins (a thread's
// stack takes its size from the limit that it finds there) and executes the
// program again; Seal closes the system call filter once everything that the
// worker will ever need is open. A failure of either must end the worker. On
// other systems both do nothing: there the worker is only a process of its own.
package confine
