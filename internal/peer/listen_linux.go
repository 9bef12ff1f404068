package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Listener is a socket that has a name until it is closed, or taken over.
type Listener struct {
	*net.UnixListener
	path  string
	inode uint64
}

// Listen takes the socket of that name over: where an older process listens, in an
// upgrade, peers come here from now on. It is made under another name, given to
// those whom place lets in, and moved: nobody sees one with the wrong mode, or none.
func Listen(dir, name string, place func(path string, dir os.FileInfo) error) (*Listener, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close() //nolint:errcheck // it was only named
	draft := fmt.Sprintf("%s.%d.tmp", name, os.Getpid())
	path := filepath.Join(dir, draft)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	u, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: within(d, draft)})
	if err != nil {
		return nil, err
	}
	u.SetUnlinkOnClose(false)
	l := &Listener{UnixListener: u, path: filepath.Join(dir, name)}
	info, err := d.Stat()
	if err == nil {
		err = place(path, info)
	}
	if err == nil {
		l.inode, err = inodeOf(path)
	}
	if err == nil {
		err = os.Rename(path, l.path)
	}
	if err != nil {
		return nil, errors.Join(err, u.Close(), os.Remove(path))
	}
	return l, nil
}

// within names a file of an open directory in few bytes: a socket's path has 107
// at most (unix(7)).
func within(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

func inodeOf(path string) (uint64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	return stat.Ino, nil
}

// Close stops listening, and removes the socket, unless it is a younger process's.
func (l *Listener) Close() error {
	err := l.UnixListener.Close()
	if inode, statErr := inodeOf(l.path); statErr == nil && inode == l.inode {
		err = errors.Join(err, os.Remove(l.path))
	}
	return err
}

// Dial connects to the socket of that name.
func Dial(ctx context.Context, dir, name string) (*net.UnixConn, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close() //nolint:errcheck // it was only named
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "unix", within(d, name))
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.ErrUnsupported, c.Close())
	}
	return u, nil
}
