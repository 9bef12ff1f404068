package reading

import (
	"bytes"
	"io"
	"os"
	"os/user"
	"strconv"

	"github.com/pgcustos/pgcustos/audit"
)

// readerOf names a user, and who logged in before a sudo or su: the kernel keeps
// that from the log-in on (pam_loginuid).
func readerOf(uid, pid uint32) *audit.Reader {
	r := &audit.Reader{UID: uid, PID: pid, User: nameOf(uid)}
	if login, ok := loginOf(pid); ok {
		r.Login = nameOf(login)
		if r.Login == "" {
			r.Login = "uid " + strconv.FormatUint(uint64(login), 10)
		}
	}
	return r
}

func nameOf(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return ""
	}
	return clean(u.Username, maxCommand)
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
