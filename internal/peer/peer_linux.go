package peer

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// Peer is who is at the other end.
type Peer struct {
	UID, PID uint32
	User     string // the name of UID, empty where it has none
	Login    string // who logged in before a sudo or su, where the system keeps that
}

// UID asks the kernel for no more than the user at the other end: whoever bounds how
// often one may come asks this first, for names may take long to look up.
func UID(c *net.UnixConn) (uint32, error) {
	cred, err := credentials(c)
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// Of asks the kernel who is at the other end. What it says of the login holds while
// the peer waits for its answer: its process is its own.
func Of(c *net.UnixConn) (Peer, error) {
	cred, err := credentials(c)
	if err != nil {
		return Peer{}, err
	}
	return known(cred.Uid, uint32(max(0, cred.Pid))), nil
}

func credentials(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(controlErr, err)
}

// Self is this process.
func Self() Peer { return known(uint32(os.Getuid()), uint32(os.Getpid())) }

// known names a user, and who logged in before a sudo or su: the kernel keeps that
// from the log-in on (pam_loginuid).
func known(uid, pid uint32) Peer {
	p := Peer{UID: uid, PID: pid, User: nameOf(uid)}
	if login, ok := loginOf(pid); ok {
		if p.Login = nameOf(login); p.Login == "" {
			p.Login = "uid " + strconv.FormatUint(uint64(login), 10)
		}
	}
	return p
}

// longestName bounds a user's name.
const longestName = 64

func nameOf(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return ""
	}
	name := strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, u.Username)
	return name[:min(len(name), longestName)]
}

// unset is the loginuid of processes that no log-in started.
const unset = 1<<32 - 1

func loginOf(pid uint32) (uint32, bool) {
	if pid == 0 {
		return 0, false // of another namespace
	}
	f, err := os.Open("/proc/" + strconv.FormatUint(uint64(pid), 10) + "/loginuid")
	if err != nil {
		return 0, false
	}
	defer f.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, 16))
	if err != nil {
		return 0, false
	}
	uid, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 32)
	return uint32(uid), err == nil && uid != unset
}
