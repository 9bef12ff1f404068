package succession

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/proxy"
)

// ErrNobody says that no process serves with this directory.
var ErrNobody = errors.New("no process serves here")

// Socket is one that clients or operators connect to.
type Socket struct {
	Name    string `json:"name"`
	Address string `json:"address"` // as the configuration says it
	// Activated says that it is the service manager's, which keeps it open.
	Activated bool     `json:"activated,omitempty"`
	File      *os.File `json:"-"`
}

// What an heir asks for, in this order, and what it may ask for from the second on.
const (
	doSockets = "sockets"
	doYield   = "yield"
	doServe   = "serve"

	doLive       = "live"
	doKill       = "kill"
	doLocks      = "locks"
	doQuarantine = "quarantine"
	doUsed       = "used"
	doCancel     = "cancel"
	doReload     = "reload"
	doHurry      = "hurry"
)

// request is one line of JSON.
type request struct {
	ID       uint64            `json:"id"`
	Do       string            `json:"do"`
	PID      int               `json:"pid,omitempty"`
	Selector *auth.Selector    `json:"selector,omitempty"`
	Detail   string            `json:"detail,omitempty"`
	Since    time.Time         `json:"since,omitzero"`
	Locks    []auth.Lock       `json:"locks,omitempty"`
	Services map[string]string `json:"services,omitempty"`
	Identity *auth.Identity    `json:"identity,omitempty"`
	Key      *proxy.CancelKey  `json:"key,omitempty"`
}

// answer is one line of JSON. That to sockets comes behind a byte that carries the
// descriptors.
type answer struct {
	ID       uint64          `json:"id"`
	Error    string          `json:"error,omitempty"`
	PID      int             `json:"pid,omitempty"`
	Digest   string          `json:"digest,omitempty"` // of the configuration
	Sockets  []Socket        `json:"sockets,omitempty"`
	Memory   json.RawMessage `json:"memory,omitempty"`
	Sessions []proxy.Status  `json:"sessions,omitempty"`
	N        int             `json:"n,omitempty"`
	Found    bool            `json:"found,omitempty"`
	Last     time.Time       `json:"last,omitzero"`
}

const (
	socketName = "succession.sock"
	// mostSockets bounds the descriptors that are passed.
	mostSockets = 8
	// mostAtOnce bounds the requests that are under way.
	mostAtOnce = 32
	// patience bounds a request; an incumbent may have sinks to empty before it yields.
	patience = 30 * time.Second
)

// Estate is what an incumbent leaves to its heir.
type Estate struct {
	PID     int
	Digest  string // of the configuration in force
	Sockets []Socket
}

// Sessions are what an heir reaches of those who served before.
type Sessions interface {
	Live(*auth.Selector) []proxy.Status
	Kill(chosen *auth.Selector, detail string, since time.Time) int
	SetLocks(locks []auth.Lock, since time.Time) int
	Quarantine(services map[string]string, since time.Time) int
	Used(*auth.Identity) (time.Time, int)
}

// Office is what a process that serves does for an heir.
type Office interface {
	// Estate is what it serves with. The files stay its own.
	Estate() Estate
	// Yield lays down what only one process can have; Resume takes it up again.
	Yield() error
	Resume()
	// Cede stops accepting clients, and begins the drain. It returns what an heir has
	// to remember.
	Cede(heir int) (memory json.RawMessage, err error)
	// What follows comes after Yield only.
	Sessions
	Cancel(context.Context, proxy.CancelKey) bool
	// Reload puts the configuration in force that the file has now.
	Reload() error
	// Hurry ends the time for sessions to end by themselves.
	Hurry()
	// Abandoned says that no heir is there any more.
	Abandoned()
}
