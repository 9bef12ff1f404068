package testkit

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

func (p *Postgres) findOwner() error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	p.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

// give hands a file over to the user that the server runs as.
func (p *Postgres) give(path string) error {
	if p.owner == nil {
		return nil
	}
	return os.Chown(path, int(p.owner.Uid), int(p.owner.Gid))
}

// Owner is whom the server runs as, for programs that use its Unix socket; nil
// where that is whoever started it.
func (p *Postgres) Owner() *syscall.Credential { return p.owner }
