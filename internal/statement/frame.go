package statement

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A question and an answer are each one frame: four bytes of length, big
// endian, of what follows, and the bytes. The answer to a text is a judgement;
// the worker's first frame, unasked, is empty and says that it is confined and
// ready.

const frameHeader = 4

// keptBuffer is the most that is kept of a buffer after a frame.
const keptBuffer = 1 << 20

// kept returns a buffer to be used again, unless it has grown too far.
func kept(buf []byte) []byte {
	if cap(buf) > keptBuffer {
		return nil
	}
	return buf
}

// maxAnswer returns the bytes that the judgement of a text may take: objects
// and redacted texts make it longer than the text.
func maxAnswer(text int) int { return 64<<10 + 16*text }

var errFrame = errors.New("a frame beyond its bound")

// writeFrame writes a frame in one piece, which it makes in buf.
func writeFrame[T string | []byte](w io.Writer, buf []byte, payload T) ([]byte, error) {
	buf = binary.BigEndian.AppendUint32(buf[:0], uint32(len(payload)))
	buf = append(buf, payload...)
	_, err := w.Write(buf)
	return buf, err
}

// readFrame reads a frame of at most most bytes into buf, which it grows only
// as far as bytes arrive.
func readFrame(r io.Reader, buf []byte, most int) ([]byte, error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return buf, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if n > most {
		return buf, fmt.Errorf("%w: %d bytes", errFrame, n)
	}
	const step = 1 << 20
	buf = buf[:0]
	for len(buf) < n {
		have, want := len(buf), min(step, n-len(buf))
		buf = append(buf, make([]byte, want)...)
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// Serve is the life of a worker: it says that it is ready, then answers each
// text with what read makes of it, until its parent closes the pipe. A text of
// more than most bytes ends it.
func Serve(in io.Reader, out io.Writer, most int, read func(text string) *Judgement) error {
	var question, answer []byte
	frame, err := writeFrame(out, nil, "")
	if err != nil {
		return err
	}
	for {
		question, err = readFrame(in, question, most)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text := string(question)
		answer = AppendJudgement(answer[:0], read(text), text)
		if frame, err = writeFrame(out, frame, answer); err != nil {
			return err
		}
		question, answer, frame = kept(question), kept(answer), kept(frame)
	}
}
