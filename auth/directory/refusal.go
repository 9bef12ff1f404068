package directory

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

// refusal remembers which password of the reading account the directory
// refused. Trying it again at each log-in would lock the reading account, and
// with it everybody, out.
type refusal struct {
	mu     sync.Mutex
	salt   []byte
	digest [sha256.Size]byte
	until  time.Time
	err    error
}

// refusedFor is how long a refused password is not tried again: six times in
// the half hour over which controllers count by default.
const refusedFor = 5 * time.Minute

func (r *refusal) check(secret *auth.Secret, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil || now.After(r.until) || r.hash(secret) != r.digest {
		return nil
	}
	return r.err
}

func (r *refusal) remember(secret *auth.Secret, now time.Time, f *auth.Failure) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = &auth.Failure{
		Cause:  auth.CauseDirectoryDown,
		Detail: fmt.Sprintf("the directory refuses the reading account: %s: %s", f.Cause, f.Detail),
		Err:    f.Err,
	}
	r.digest, r.until = r.hash(secret), now.Add(refusedFor)
	return r.err
}

// hash is keyed by a salt that never leaves the process.
func (r *refusal) hash(secret *auth.Secret) [sha256.Size]byte {
	if r.salt == nil {
		r.salt = make([]byte, 32)
		_, _ = rand.Read(r.salt) // never fails, see crypto/rand
	}
	b := append(r.salt[:len(r.salt):len(r.salt)], secret.Reveal()...)
	defer clear(b)
	return sha256.Sum256(b)
}
