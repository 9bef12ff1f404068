package journal

import "time"

const (
	// pieceBytes are worked through between two looks at the clock.
	pieceBytes = 64 << 10
	// pieceTime is how long a client's statement may find a processor taken.
	pieceTime = 250 * time.Microsecond
	// restsFor is how many times as long as it worked somebody rests: work at this
	// pace takes an eighth of a processor.
	restsFor    = 7
	longestRest = 10 * time.Millisecond
)

// pace parts long work in the background into short pieces with rests between them,
// in which the sessions have the processors. It belongs to one goroutine; nil, or
// without rests, it does nothing.
type pace struct {
	rests int
	hurry func() bool // somebody waits for the work: it is done without rests
	left  int         // bytes until the clock is looked at
	begun time.Time   // of this piece
}

// did says that so many bytes were worked through.
func (p *pace) did(bytes int) {
	if p == nil || p.rests == 0 {
		return
	}
	if p.left -= bytes; p.left > 0 {
		return
	}
	p.left = pieceBytes
	worked := time.Since(p.begun)
	if worked < pieceTime {
		return
	}
	if !p.hurry() {
		time.Sleep(min(time.Duration(p.rests)*worked, longestRest))
	}
	p.begun = time.Now()
}
