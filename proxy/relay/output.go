package relay

import "github.com/pgcustos/pgcustos/audit"

// Output is what a step asks of its driver: to wait for the record, then to
// write the chunks in their order. Chunks are ranges of the driver's own buffer
// or of Output's; they are valid until the next step with the same Output, and
// the driver must not change its buffer before they are written.
type Output struct {
	Chunks [][]byte
	// Receipt names the newest record that the chunks rest on; Durable tells
	// that they must wait until it survives a loss of power.
	Receipt audit.Receipt
	Durable bool

	own []byte
}

// Reset empties the output, and keeps its memory.
func (o *Output) Reset() {
	clear(o.Chunks)
	o.Chunks, o.own = o.Chunks[:0], o.own[:0]
	o.Receipt, o.Durable = audit.Receipt{}, false
}

// forward adds a range of the driver's buffer.
func (o *Output) forward(b []byte) {
	if len(b) > 0 {
		o.Chunks = append(o.Chunks, b)
	}
}

// insert adds a copy of the proxy's own message.
func (o *Output) insert(b []byte) {
	start := len(o.own)
	o.own = append(o.own, b...)
	o.Chunks = append(o.Chunks, o.own[start:])
}
