// Package syscalls stands between a program and its kernel: it counts the system
// calls that the program makes, and answers one of them, or all from then on, with
// an error of the test's choice, or kills whoever makes it. The program is the one
// that is shipped: nothing in it knows.
//
// The kernel asks (seccomp_unotify(2)). A supervisor has the program started by the
// test binary itself, which closes the filter around one thread, hands the listening
// descriptor over and then executes the program: so all of its threads and whatever
// it starts are under it. Calls that no test is after go on as they were made. The
// supervisor must be allowed to look into the program, which hides itself from
// others: root is, with CAP_SYS_PTRACE.
package syscalls
