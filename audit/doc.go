// Package audit says what is recorded: the events, and the Recorder that writes
// them down before what they tell of may happen. The journal that keeps them is
// audit/journal, and its format audit/FORMAT.md.
package audit
