package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/pgcustos/pgcustos/proxy/succession"
)

// The names of the sockets, also as FileDescriptorName= of a systemd.socket(5).
const (
	clientsSocket = "clients"
	adminSocket   = "admin"
	peersSocket   = "peers"
)

// activated are the sockets that a service manager opened for this process. One that
// is alone needs no name.
func activated() ([]succession.Socket, error) {
	files := activation.Files(true)
	var sockets []succession.Socket
	for _, f := range files {
		name := f.Name()
		if len(files) == 1 && name != adminSocket && name != peersSocket {
			name = clientsSocket
		}
		taken := slices.ContainsFunc(sockets, func(s succession.Socket) bool { return s.Name == name })
		if taken || !slices.Contains([]string{clientsSocket, adminSocket, peersSocket}, name) {
			return nil, fmt.Errorf("a socket named %q came from the service manager: one each may be %s, %s and %s (FileDescriptorName=, and one ListenStream= each)",
				name, clientsSocket, adminSocket, peersSocket)
		}
		sockets = append(sockets, succession.Socket{Name: name, Activated: true, File: f})
	}
	return sockets, nil
}

// listen opens what clients connect to, and what is scraped.
func (d *daemon) listen(ctx context.Context) (clients net.Listener, err error) {
	if err := d.open(ctx, clientsSocket, d.config.Listen.Address); err != nil {
		return nil, err
	}
	if d.config.Admin.Address != "" {
		if err := d.open(ctx, adminSocket, d.config.Admin.Address); err != nil {
			return nil, err
		}
	}
	if d.peers != nil {
		if err := d.open(ctx, peersSocket, d.config.Peers.Address); err != nil {
			return nil, err
		}
	}
	for _, s := range d.inherited {
		d.log.Warn("a socket that came from elsewhere is not used", "name", s.Name, "address", s.Address)
		_ = s.File.Close()
	}
	d.inherited = nil
	return d.listener(clientsSocket)
}

// open finds a socket among those that came from elsewhere, or makes it.
func (d *daemon) open(ctx context.Context, name, address string) error {
	for i, s := range d.inherited {
		if s.Name == name && (s.Activated || s.Address == address) {
			d.inherited = slices.Delete(d.inherited, i, i+1)
			s.Address = address
			d.sockets = append(d.sockets, s)
			return nil
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer l.Close() //nolint:errcheck // its descriptor is kept
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return fmt.Errorf("%s: a %T", address, l)
	}
	file, err := tcp.File()
	if err != nil {
		return err
	}
	d.sockets = append(d.sockets, succession.Socket{Name: name, Address: address, File: file})
	return nil
}

// errNotListening says what is wrong with a socket that came from elsewhere.
var errNotListening = errors.New("is no TCP socket that listens")

// listener accepts from a socket; nil where there is none of that name. Closing it
// leaves the socket open.
func (d *daemon) listener(name string) (net.Listener, error) {
	for _, s := range d.sockets {
		if s.Name != name {
			continue
		}
		if !listens(s.File) {
			return nil, fmt.Errorf("the socket %q %w", name, errNotListening)
		}
		l, err := net.FileListener(s.File)
		if err != nil {
			return nil, fmt.Errorf("the socket %q: %w", name, err)
		}
		if _, ok := l.(*net.TCPListener); !ok {
			return nil, errors.Join(fmt.Errorf("the socket %q %w", name, errNotListening), l.Close())
		}
		return l, nil
	}
	return nil, nil
}

// keepsSocket says whether clients wait in the queue while no process serves: the
// service manager keeps the socket open.
func (d *daemon) keepsSocket() bool {
	return slices.ContainsFunc(d.sockets, func(s succession.Socket) bool { return s.Name == clientsSocket && s.Activated })
}

// listens says whether a descriptor is a socket that clients can connect to.
func listens(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	err = raw.Control(func(fd uintptr) { ok = accepting(fd) })
	return ok && err == nil
}
