package relay

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// play gives the machine bytes as the client, in pieces of the given size, until
// it stops.
func play(h *harness, in []byte, size int) (forwarded []byte) {
	stopped := false
	feed(in, size, func(b []byte) int {
		taken := 0
		for !stopped {
			h.out.Reset()
			n, next := h.m.Client(1, b[taken:], &h.out)
			forwarded = append(forwarded, bytes.Join(h.out.Chunks, nil)...)
			taken += n
			switch next {
			case JudgeText:
				text, encoding := h.m.Text()
				h.m.Judged(h.judge.Judge(context.Background(), text, encoding))
			case Again:
			case More:
				return taken
			case Full, Cancelling, Broken, Adrift, Terminated, Spool:
				stopped = true
			}
		}
		return len(b)
	})
	return forwarded
}

// FuzzClient: whatever a client sends, and however it comes, the same bytes leave;
// and each text in a Query or Parse that leaves is one that is on record as
// allowed, or the proxy's own.
func FuzzClient(f *testing.F) {
	for _, s := range conversation() {
		f.Add(s.client, 3)
	}
	f.Add(msg('Q', "SELECT 1", "DROP"), 1)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		size = 1 + max(size, -size)%64
		whole, pieces := newHarness(t), newHarness(t)
		pieces.m.opt.AtOnce = 1 + size%3
		sent := play(whole, in, len(in)+1)
		if again := play(pieces, in, size); !bytes.Equal(sent, again) {
			t.Fatalf("whole %q, in pieces of %d %q", sent, size, again)
		}
		for _, text := range textsIn(sent) {
			if !onRecord(whole.notes.allowed, text) {
				t.Fatalf("%q left without a record: %q", text, whole.notes.lines)
			}
		}
	})
}

// textsIn returns what the complete Query and Parse messages in a stream say.
func textsIn(stream []byte) (texts []string) {
	for len(stream) > 0 {
		typ, size, ok := pgwire.Header(stream)
		if !ok || size < pgwire.MinSize || size > len(stream) {
			return texts
		}
		body := stream[pgwire.HeaderSize:size]
		stream = stream[size:]
		if typ == pgwire.Parse {
			if _, body, ok = pgwire.CString(body); !ok {
				continue
			}
		} else if typ != pgwire.Query {
			continue
		}
		if text, _, ok := pgwire.CString(body); ok {
			texts = append(texts, string(text))
		}
	}
	return texts
}

func onRecord(allowed []string, text string) bool {
	if text == "" || strings.HasPrefix(text, `"pgcustos incident `) || slices.Contains(allowed, "") {
		return true
	}
	onRecord := strings.Split(strings.Join(allowed, ";"), ";")
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part != "" && !slices.Contains(onRecord, part) {
			return false
		}
	}
	return true
}

// FuzzBackend: whatever a backend sends, it reaches the client byte for byte, but
// for the one error that stands for a refusal; and nothing panics.
func FuzzBackend(f *testing.F) {
	for _, s := range conversation() {
		f.Add(s.client, s.backend, 3)
	}
	f.Fuzz(func(t *testing.T, client, backend []byte, size int) {
		size = 1 + max(size, -size)%64
		h := newHarness(t)
		play(h, client, len(client)+1)
		refusals := 0
		for i := range h.m.queue.len() {
			if h.m.queue.at(i).refusal != nil {
				refusals++
			}
		}
		var got []byte
		failed := false
		feed(backend, size, func(b []byte) int {
			if failed {
				return len(b)
			}
			h.out.Reset()
			n, err := h.m.Backend(1, b, &h.out)
			got = append(got, bytes.Join(h.out.Chunks, nil)...)
			failed = err != nil
			return n
		})
		if refusals == 0 && !bytes.HasPrefix(backend, got) {
			t.Fatalf("the backend said %q, the client heard %q", backend, got)
		}
		h.m.Finish()
		h.settledAll()
	})
}
