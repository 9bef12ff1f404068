package driver

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/relay"
	"github.com/pgcustos/pgcustos/proxy/spool"
)

// shelf is a recorder that keeps blobs, and the last record's text.
type shelf struct {
	nothing
	mu    sync.Mutex // guards what follows
	blobs [][]byte
	event audit.Event
}

func (s *shelf) Record(e *audit.Event) (audit.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Type == audit.Statement {
		s.event = *e
		s.event.Text = strings.Clone(e.Text)
	}
	return s.nothing.Record(e)
}

func (s *shelf) last() audit.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.event
}

func (s *shelf) Blob() (audit.BlobWriter, error) { return &shelved{shelf: s}, nil }

type shelved struct {
	bytes.Buffer
	shelf *shelf
}

func (b *shelved) Commit() (audit.BlobRef, error) {
	b.shelf.mu.Lock()
	defer b.shelf.mu.Unlock()
	b.shelf.blobs = append(b.shelf.blobs, b.Bytes())
	return audit.BlobRef{Digest: sha256.Sum256(b.Bytes()), Length: int64(b.Len())}, nil
}

func (*shelved) Discard() {}

// spooled starts a session that spools what is over 64 KB. Texts of more than 1 MB are
// not read.
func (d kind) spooled(t *testing.T, o spool.Options, classes statement.Class) (*ends, *shelf, *spool.Store) {
	t.Helper()
	o.Over = 64 << 10
	if o.Directory == "" {
		o.Directory = t.TempDir()
	}
	store, err := spool.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	kept := &shelf{}
	e := d.startWith(t, func(m *relay.Options, d *Options) {
		m.SpoolOver, m.MaxMessage, m.Recorder = store.Over(), 1<<30-2, kept
		m.Grant = &auth.Grant{Classes: classes, Mode: auth.Enforce}
		d.Spool, d.Recorder, d.MaxText, d.MaxMessage, d.Principal = store, kept, 1<<20, 1<<30-2, "alice"
	})
	return e, kept, store
}

func big(n int) []byte {
	return pgwire.AppendMessage(nil, 'Q', []byte("SELECT '"+strings.Repeat("secret. ", n/8)+"'"), []byte{0})
}

var small = pgwire.AppendMessage(nil, 'Q', []byte("SELECT 1"), []byte{0})

// arrives fails the test unless the bytes come next.
func arrives(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d of %d bytes, %v: %.60q, want %.60q", n, len(want), err, got, want)
	}
}

// settles waits until the store is empty again.
func settles(t *testing.T, s *spool.Store) {
	t.Helper()
	until(t, func() bool { return s.Used() == 0 })
}

// until waits for a condition.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to that")
		}
	}
}

func refusal() []byte {
	return pgwire.AppendMessage(nil, 'Q', []byte(`"pgcustos incident `+incident+`"`), []byte{0})
}

func TestSpooledMessagePasses(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			for name, n := range map[string]int{"read": 300 << 10, "masked": 3 << 20} {
				t.Run(name, func(t *testing.T) {
					e, kept, store := d.spooled(t, spool.Options{}, statement.Read|statement.Unknown)
					message := big(n)
					go func() {
						rest := bytes.Join([][]byte{small, message, small}, nil)
						for len(rest) > 0 {
							k := min(len(rest), 70_001)
							if _, err := e.client.Write(rest[:k]); err != nil {
								return
							}
							rest = rest[k:]
						}
					}()
					arrives(t, e.backend, small)
					arrives(t, e.backend, message)
					arrives(t, e.backend, small)
					settles(t, store)
					if name == "masked" && kept.last().Class == statement.Unknown {
						t.Error("the small one behind it is unknown")
					}
				})
			}
		})
	}
}

func TestUnreadMessageIsMasked(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e, kept, store := d.spooled(t, spool.Options{}, statement.Read)
			message := pgwire.AppendMessage(nil, 'Q', []byte("SELECT 'secret', "+strings.Repeat("name, 'secret', ", 100_000)), []byte{0})
			go func() { _, _ = e.client.Write(message) }()
			arrives(t, e.backend, refusal())
			settles(t, store)
			ev := kept.last()
			want := "SELECT ?, " + strings.Repeat("name, ?, ", 100_000)
			if len(kept.blobs) != 1 || string(kept.blobs[0]) != want || ev.TextBlob.Length != int64(len(want)) || ev.TextDigest != ev.TextBlob.Digest {
				t.Errorf("%d blobs, %d bytes named", len(kept.blobs), ev.TextBlob.Length)
			}
			if ev.Decision != audit.Denied || ev.Class != statement.Unknown || ev.Cause != string(statement.CauseSize) || ev.Form != statement.Masked || ev.Text != "" {
				t.Errorf("recorded %+v", ev)
			}

			// What is short when it is masked stands in the record.
			go func() { _, _ = e.client.Write(big(3 << 20)) }()
			arrives(t, e.backend, refusal())
			if ev := kept.last(); ev.Text != "SELECT ?" || len(kept.blobs) != 1 {
				t.Errorf("recorded %q", ev.Text)
			}
		})
	}
}

func TestSpoolHasNoRoom(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e, kept, store := d.spooled(t, spool.Options{Total: 4 << 20, PerPrincipal: 200 << 10}, statement.Read|statement.Unknown)
			go func() { _, _ = e.client.Write(append(big(2<<20), small...)) }()
			arrives(t, e.backend, refusal())
			arrives(t, e.backend, small)
			settles(t, store)
			if len(kept.blobs) != 0 {
				t.Error("something was kept")
			}
		})
	}
}

// A length is only claimed: it takes no room.
func TestClaimedLengthTakesNoRoom(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e, _, store := d.spooled(t, spool.Options{Total: 1 << 20}, statement.Read)
			_, err := e.client.Write([]byte{'Q', 0x3f, 0xff, 0xff, 0xf0, 'S', 'E', 'L', 'E', 'C'})
			if err != nil {
				t.Fatal(err)
			}
			_ = e.client.CloseWrite()
			e.ended(t, ClientClosed)
			if n := store.Used(); n != 0 {
				t.Errorf("%d bytes are taken", n)
			}
		})
	}
}

func TestClientVanishesMidway(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e, kept, store := d.spooled(t, spool.Options{}, statement.Read|statement.Unknown)
			message := big(2 << 20)
			send(t, e.client, message[:1<<20])
			until(t, func() bool { return store.Used() > 0 })
			_ = e.client.SetLinger(0)
			_ = e.client.Close()
			e.ended(t, ClientGone)
			settles(t, store)
			rest, _ := io.ReadAll(e.backend)
			if bytes.Contains(rest, []byte("SELECT")) || kept.last().Type != "" {
				t.Errorf("the backend got %.40q, recorded %v", rest, kept.last().Type)
			}
		})
	}
}

func TestBackendDiesWhileForwarding(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			e, _, store := d.spooled(t, spool.Options{}, statement.Read|statement.Unknown)
			message := big(32 << 20) // more than the sockets' buffers hold
			go func() { _, _ = e.client.Write(message) }()
			arrives(t, e.backend, message[:1<<20])
			_ = e.backend.SetLinger(0)
			_ = e.backend.Close()
			select {
			case got := <-e.cause:
				e.cause <- got
				if got != BackendLost {
					t.Errorf("ended by %s", got)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("the session does not end")
			}
			settles(t, store)
		})
	}
}

// The session is ended while a message comes in, or is forwarded to a backend that
// takes nothing.
func TestEndWhileSpooling(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			for name, all := range map[string]bool{"coming": false, "forwarding": true} {
				t.Run(name, func(t *testing.T) {
					e, _, store := d.spooled(t, spool.Options{}, statement.Read|statement.Unknown)
					message := big(32 << 20)
					if !all {
						message = message[:len(message)/2]
					}
					go func() { _, _ = e.client.Write(message) }()
					if all {
						arrives(t, e.backend, message[:1000])
					} else {
						until(t, func() bool { return store.Used() >= 1<<20 })
					}
					e.relay.End(&pgwire.Error{Severity: pgwire.SeverityFatal, Code: "57P01", Message: "over"})
					e.ended(t, Ended)
					settles(t, store)
				})
			}
		})
	}
}

// Sessions take turns at the heavy work, and each gets its own.
func TestManySessionsSpoolAtOnce(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			var wg sync.WaitGroup
			store, err := spool.Open(spool.Options{Directory: t.TempDir(), Over: 64 << 10})
			if err != nil {
				t.Fatal(err)
			}
			message := big(2 << 20)
			for range 30 {
				e := d.startWith(t, func(m *relay.Options, d *Options) {
					m.SpoolOver, m.MaxMessage = store.Over(), 1<<30-2
					m.Grant = &auth.Grant{Classes: statement.Read | statement.Unknown, Mode: auth.Enforce}
					d.Spool, d.MaxText, d.MaxMessage = store, 1<<20, 1<<30-2
				})
				wg.Go(func() { _, _ = e.client.Write(message) })
				wg.Go(func() {
					got := make([]byte, len(message))
					_ = e.backend.SetReadDeadline(time.Now().Add(time.Minute))
					if _, err := io.ReadFull(e.backend, got); err != nil || !bytes.Equal(got, message) {
						t.Errorf("a message that arrived: %v", err)
					}
				})
			}
			wg.Wait()
			settles(t, store)
		})
	}
}
