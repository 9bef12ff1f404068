package view

import (
	"fmt"
	"io"
	"time"
)

const (
	progressAfter = time.Second
	progressEvery = 200 * time.Millisecond
)

// progress tells on a terminal how far a scan is, once it takes long. What else is
// written goes through progressWriter, which takes the line away first.
type progress struct {
	io.Writer
	now         func() time.Time
	start, told time.Time
	records     uint64
	at          time.Time // of the last of them
	shown       bool
}

func newProgress(w io.Writer) *progress {
	p := &progress{Writer: w, now: time.Now}
	p.start = p.now()
	p.told = p.start.Add(progressAfter - progressEvery)
	return p
}

func (p *progress) see(records uint64, at time.Time) {
	p.records, p.at = records, at
	now := p.now()
	if now.Sub(p.told) < progressEvery {
		return
	}
	p.told, p.shown = now, true
	rate := float64(p.records) / now.Sub(p.start).Seconds()
	_, _ = fmt.Fprintf(p, "\r\x1b[K%s records, now at %s (%s/s)",
		thousands(p.records), p.at.UTC().Format("2006-01-02 15:04:05"), thousands(uint64(rate)))
}

// clear takes the line away.
func (p *progress) clear() {
	if p.shown {
		p.shown = false
		_, _ = io.WriteString(p, "\r\x1b[K")
	}
}

type progressWriter struct {
	io.Writer
	p *progress
}

func (w *progressWriter) Write(b []byte) (int, error) {
	w.p.clear()
	return w.Writer.Write(b)
}

// thousands writes a number with a space between thousands.
func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
