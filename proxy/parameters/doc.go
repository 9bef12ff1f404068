// Package parameters reads the parameters of Bind and FunctionCall messages as
// they pass, for the record: a keyed digest of them, and where a rule asks for
// it each value as text.
//
//	Begin ─ Write ─ Write … ─ End → *audit.Parameters
//
// A message comes in any pieces, and is never held whole: a value of up to 16 KB
// is gathered to be decoded, a longer one goes on as it comes, and what the values
// come to beyond 16 KB goes to a file without a name, and from there to the
// journal's blobs when the message is whole. It knows no sessions and no rules;
// audit/FORMAT.md defines what it writes.
package parameters
