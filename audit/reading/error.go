package reading

import "errors"

// ErrNobody says that no process listens for readers of a journal.
var ErrNobody = errors.New("no process serves this journal")
