// Package driver moves the bytes that a relay.Machine answers for: it reads,
// writes, waits for records and judgements, and notices who went away. The machine
// decides; a driver only carries out.
//
// There are two. With goroutines each direction of a session is a loop that reads,
// asks the machine, waits for whatever that asks for, and writes (directions.go).
// It is the reference, it runs everywhere, and it sees every session to its end
// (ending.go).
//
// On Linux event loops drive the sessions instead (loops_linux.go). A loop is one
// thread in epoll_wait (loop_linux.go); both connections of a session belong to the
// same one, so its directions take turns, and no lock of theirs is ever waited for:
//
//	epoll_wait ─▶ session.happened ─▶ turnClient:  end.fill ─▶ Machine.Client  ─▶ end.write
//	                              └─▶ turnBackend: end.fill ─▶ Machine.Backend ─▶ end.write
//
// Nothing in a loop may block, and nothing is held that is not needed:
//
//   - Connections are handover.Conn: crypto/tls reads from what the loop has
//     received, and writes into what the loop sends at the end of the turn.
//   - Buffers of 64 KB are lent for a turn (blocks_linux.go). What is left over moves
//     to a small one; an idle session holds none, and no goroutine.
//   - Edges are told once, and of what crypto/tls holds epoll tells nothing: an end
//     remembers that it may have more, and such a session stands in loop.ready.
//   - An end that streams in small pieces is not heard of for a moment behind each read,
//     so that more is there to be read at once (linger_linux.go).
//   - What may take long is an errand on a goroutine of its own (errand.go): a parse, a
//     record that has to reach the disk, a step of the machine that may need a file.
//     The client's direction waits for it; the loop does not.
//   - A peer that does not take what it is sent is waited for: the other side is not
//     read meanwhile, so what is pending is one turn's output.
//
// Whatever is not steady state leaves the loop (session.depart): an end of any kind,
// a client that closed its side and is not read (lookout.go), a message that has to be
// spooled, a fault. The connections change back to blocking ones, with what was received
// and not read and what was written and not sent, and the goroutines go on from the byte
// where the loop stood. So there is one set of rules for ends, graces, cancels and last
// words, whichever driver was at work.
package driver
