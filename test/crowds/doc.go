// Package crowds sends the proxy thousands of clients at once, of which some mean
// harm and some do nothing at all, and asks what those notice who work meanwhile,
// what it costs, and whether all of it is given back.
//
// The clients of a crowd are another process, at the lowest priority, so that what
// is measured is the proxy's time for them and not theirs. Each figure has one
// beside it of a session that goes past the proxy: what the machine does to both is
// not the proxy's doing.
//
// The tests have a short form, which runs with all others, and a large one, which
// make crowds runs (-crowds).
package crowds
