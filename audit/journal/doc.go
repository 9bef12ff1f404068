// Package journal keeps the audit record on disk: streams of preallocated,
// memory-mapped segments, laid out byte by byte in audit/FORMAT.md.
//
// [Open] starts this process's own stream, after it has looked at those that
// earlier processes left and set their torn tails aside. The [Journal] it returns
// is the audit.Recorder: Record encodes an event in place, under one mutex,
// without an allocation or a system call, and publishes its length last, so that
// a record survives the end of the process from the moment Record returns. Wait
// waits for a group-committed fdatasync.
//
// [OpenReader] reads all streams of a journal in the order of time, also while
// they are written. It shares no code with the writer, and builds everywhere; the
// writer is for Linux.
package journal
