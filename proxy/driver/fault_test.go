package driver

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/relay"
)

// faulty is a judge that a text makes panic.
type faulty struct{ reads }

func (faulty) Cached([]byte, statement.Encoding) (*statement.Judgement, bool) {
	panic("a fault of ours")
}

// TestInvariant9FaultEndsItsSession: a panic in a direction closes both
// connections, and comes out where the session's owner recovers.
func TestInvariant9FaultEndsItsSession(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			client, clientIn := tcpPair(t)
			backend, backendIn := tcpPair(t)
			began := time.Now()
			r := d.make(Options{
				Client: clientIn, Backend: backendIn, Judge: faulty{}, Recorder: &nothing{},
				Machine: relay.New(relay.Options{
					Judge: faulty{}, Recorder: &nothing{}, Grant: &auth.Grant{Classes: statement.Read}, MaxMessage: 1 << 20,
				}),
				Cancel:     func(context.Context) error { return nil },
				Now:        func() int64 { return int64(time.Since(began)) },
				MaxMessage: 1 << 20,
			})
			caught := make(chan any, 1)
			go r.Start(func(finish func() (Cause, error)) {
				defer func() { caught <- recover() }()
				_, _ = finish()
			})
			if _, err := client.Write([]byte("Q\x00\x00\x00\x0dSELECT 1\x00")); err != nil {
				t.Fatal(err)
			}
			select {
			case v := <-caught:
				if err, ok := v.(error); !ok || !strings.Contains(err.Error(), "a fault of ours") || !strings.Contains(err.Error(), "Machine).Client") {
					t.Errorf("recovered %v", v)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the session goes on")
			}
			_ = backend.SetReadDeadline(time.Now().Add(5 * time.Second))
			if n, err := backend.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Error("the backend's connection is open")
			}
		})
	}
}

// sunk is a recorder whose disk fails: records are complete, and never durable.
type sunk struct{ nothing }

func (*sunk) Wait(context.Context, audit.Receipt) error { return audit.ErrBroken }

// TestInvariant5UnrecordedIsTold: a statement whose record does not reach the disk
// does not reach the backend, and the client is told why its session ends.
func TestInvariant5UnrecordedIsTold(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			client, clientIn := tcpPair(t)
			backend, backendIn := tcpPair(t)
			began := time.Now()
			r := d.make(Options{
				Client: clientIn, Backend: backendIn, Judge: reads{}, Recorder: &sunk{},
				Machine: relay.New(relay.Options{
					Judge: reads{}, Recorder: &sunk{}, MaxMessage: 1 << 20, Incident: func() string { return incident },
					Grant: &auth.Grant{Classes: statement.Read, Durability: auth.DurableDisk},
				}),
				Cancel: func(context.Context) error { return nil }, Incident: func() string { return incident },
				Now: func() int64 { return int64(time.Since(began)) }, MaxMessage: 1 << 20,
			})
			cause := make(chan Cause, 1)
			go r.Start(func(finish func() (Cause, error)) {
				c, _ := finish()
				cause <- c
			})
			if _, err := client.Write([]byte("Q\x00\x00\x00\x0dSELECT 1\x00")); err != nil {
				t.Fatal(err)
			}
			got := rest(t, client)
			f := pgwire.ReadFields(got[min(len(got), pgwire.HeaderSize):])
			if string(f.Code) != pgwire.IOError || !strings.Contains(string(got), incident) {
				t.Errorf("the client got %q", got)
			}
			if c := <-cause; c != Unrecorded || r.Incident() != incident {
				t.Errorf("it ended by %s, with incident %q", c, r.Incident())
			}
			if sent := rest(t, backend); strings.Contains(string(sent), "SELECT") {
				t.Errorf("the backend got %q", sent)
			}
		})
	}
}

// TestBackendTakesNothing: a backend to which nothing can be sent any more, and that
// says nothing, is one that was lost. What it had said by then arrives.
func TestBackendTakesNothing(t *testing.T) {
	for _, d := range kinds(t) {
		t.Run(d.name, func(t *testing.T) {
			client, clientIn := tcpPair(t)
			backend, backendIn := tcpPair(t)
			defer backend.Close()
			began := time.Now()
			r := d.make(Options{
				Client: clientIn, Backend: backendIn, Judge: reads{}, Recorder: &nothing{},
				Machine: relay.New(relay.Options{
					Judge: reads{}, Recorder: &nothing{}, MaxMessage: 1 << 20, Grant: &auth.Grant{Classes: statement.Read},
				}),
				Cancel: func(context.Context) error { return nil },
				Now:    func() int64 { return int64(time.Since(began)) }, MaxMessage: 1 << 20,
			})
			if err := backendIn.CloseWrite(); err != nil { // what is written to it fails, and its end stays open
				t.Fatal(err)
			}
			if _, err := backend.Write([]byte("Z\x00\x00\x00\x05I")); err != nil {
				t.Fatal(err)
			}
			cause := make(chan Cause, 1)
			go r.Start(func(finish func() (Cause, error)) {
				c, _ := finish()
				cause <- c
			})
			if _, err := client.Write([]byte("Q\x00\x00\x00\x0dSELECT 1\x00")); err != nil {
				t.Fatal(err)
			}
			got := rest(t, client)
			last, found := strings.CutPrefix(string(got), "Z\x00\x00\x00\x05I")
			if f := pgwire.ReadFields([]byte(last)[min(len(last), pgwire.HeaderSize):]); !found || string(f.Code) != pgwire.ConnectionFailure {
				t.Errorf("the client got %q", got)
			}
			if c := <-cause; c != BackendLost {
				t.Errorf("it ended by %s", c)
			}
		})
	}
}
