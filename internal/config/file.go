package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pgcustos/pgcustos/auth"
)

// Bounds on the files that a configuration names.
const (
	maxConfig = 16 << 20
	maxPEM    = 4 << 20
	maxSecret = 4 << 10
)

// resolve returns a path as seen from the configuration file.
func (l *loader) resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(l.file), path)
}

// file reads the file that v names.
func (v value) file(private bool) ([]byte, bool) {
	name, ok := v.word()
	if !ok {
		return nil, false
	}
	b, err := readFile(v.l.resolve(name), maxPEM, private)
	if err != nil {
		v.errorf("%v", err)
		return nil, false
	}
	return b, true
}

// readFile reads a regular file of at most limit bytes. A private one must
// belong to root or to the account of this process, and must not be open to
// others.
func readFile(name string, limit int64, private bool) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, explainOpen(name, err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	if private {
		if err := checkPrivate(name, info); err != nil {
			return nil, err
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %s", name, printSize(limit))
	}
	return b, nil
}

func explainOpen(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no such file: %s", name)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to read %s: it has to be readable by the account that runs pgcustos (uid %d)", name, os.Geteuid())
	default:
		return fmt.Errorf("cannot open %s: %w", name, err)
	}
}

// secretFile returns a reader of the password in a file; one newline at the
// end is not part of it.
func secretFile(name string) func() (*auth.Secret, error) {
	return func() (*auth.Secret, error) {
		b, err := readFile(name, maxSecret, true)
		if err != nil {
			return nil, err
		}
		b = bytes.TrimSuffix(b, []byte("\n"))
		b = bytes.TrimSuffix(b, []byte("\r"))
		return newSecret(b, name)
	}
}

// secretEnv returns a reader of the password in an environment variable.
func secretEnv(name string) func() (*auth.Secret, error) {
	return func() (*auth.Secret, error) {
		s, ok := os.LookupEnv(name)
		if !ok {
			return nil, fmt.Errorf("the environment variable %s is not set", name)
		}
		return newSecret([]byte(s), "the environment variable "+name)
	}
}

// newSecret takes b over. A password with a line break or a NUL inside is
// a file that was put in its place by mistake.
func newSecret(b []byte, from string) (*auth.Secret, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%s is empty", from)
	}
	if bytes.ContainsAny(b, "\x00\n\r") {
		clear(b)
		return nil, fmt.Errorf("%s holds more than one line: it must hold the password alone", from)
	}
	return auth.NewSecret(b), nil
}

// origin says where a secret is read from, for the difference between two
// configurations.
type origin struct{ file, env string }

func (o origin) String() string {
	if o.env != "" {
		return "environment variable " + o.env
	}
	return "file " + o.file
}

// secret reads the pair of keys prefix_file and prefix_env, of which exactly
// one is given, and tries it once.
func (o *object) secret(prefix string) (func() (*auth.Secret, error), origin, bool) {
	file, isFile := o.get(prefix + "_file")
	env, isEnv := o.get(prefix + "_env")
	if isFile == isEnv {
		if isFile {
			env.errorf("is given beside %s_file: remove one", prefix)
		} else if len(o.fields) == 0 || !o.has(prefix+"_file", prefix+"_env") {
			o.errorf("needs %s_file or %s_env", prefix, prefix)
		}
		return nil, origin{}, false
	}
	v := file
	if isEnv {
		v = env
	}
	name, ok := v.word()
	if !ok || o.l.alone {
		return nil, origin{}, false
	}
	read, from := secretFile(o.l.resolve(name)), origin{file: o.l.resolve(name)}
	if isEnv {
		read, from = secretEnv(name), origin{env: name}
	}
	s, err := read()
	if err != nil {
		v.errorf("%v", err)
		return nil, origin{}, false
	}
	s.Wipe()
	return read, from, true
}

func (o *object) has(keys ...string) bool {
	for _, k := range keys {
		if _, ok := o.keys[k]; ok {
			return true
		}
	}
	return false
}
