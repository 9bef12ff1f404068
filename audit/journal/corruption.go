package journal

import "fmt"

// CorruptionError is damage that is no torn tail: something changed, cut or lost
// what was complete. Nothing behind it is read.
type CorruptionError struct {
	File   string
	Offset int64
	Reason string
}

// Error implements error.
func (e *CorruptionError) Error() string {
	return fmt.Sprintf("the journal is damaged: %s at byte %d: %s", e.File, e.Offset, e.Reason)
}
