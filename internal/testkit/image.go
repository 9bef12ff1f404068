package testkit

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed seed.py
var seedScript string

// An image is the packed directory of a domain that was provisioned and seeded.
// Making one takes some five seconds, unpacking it far below one: so it is kept
// for the machine, under a name that holds the hash of all that went into it.

// imageAge bounds an image's use: lock-outs and passwords of the seed expire
// some hundred days after it was made.
const imageAge = 30 * 24 * time.Hour

// image returns the path of the packed directory, made if need be.
func image(ctx context.Context, n names) (string, error) {
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	key, err := imageKey(ctx, n)
	if err != nil {
		return "", err
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, key+".tar")
	info, err := os.Stat(path)
	switch {
	case err == nil && time.Since(info.ModTime()) < imageAge:
		return path, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if err := makeImage(ctx, path, n); err != nil {
		return "", fmt.Errorf("provision the domain: %w", err)
	}
	return path, removeOld(dir)
}

// removeOld removes the images that nobody will use again, of earlier seeds and
// earlier versions of Samba.
func removeOld(dir string) error {
	images, err := filepath.Glob(filepath.Join(dir, "*.tar"))
	if err != nil {
		return err
	}
	for _, path := range images {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > imageAge {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// cacheDir makes sure that the directory is this user's and nobody else's: its
// name can be guessed, and what lies in it is run.
func cacheDir() (string, error) {
	uid := os.Getuid()
	dir := filepath.Join(shortTemp(), "pgcustos-"+strconv.Itoa(uid)+"-testkit")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || info.Mode().Perm() != 0o700 || int(stat.Uid) != uid {
		return "", fmt.Errorf("%s is not a directory of user %d alone: remove it", dir, uid)
	}
	return dir, nil
}

func imageKey(ctx context.Context, n names) (string, error) {
	samba, err := lookTool("samba", "samba")
	if err != nil {
		return "", err
	}
	version, err := exec.CommandContext(ctx, samba, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask samba for its version: %w", err)
	}
	people, err := json.Marshal(seedOf(n))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	domain := strings.Join([]string{n.Realm, n.NetBIOS, AdministratorPassword}, " ")
	for _, part := range [][]byte{version, people, []byte(seedScript), []byte(domain)} {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// lockFile takes an exclusive lock that ends with the process at the latest.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

// makeImage provisions and seeds a domain in a directory of its own and packs
// it. A half-made image is never seen under its final name.
func makeImage(ctx context.Context, path string, n names) error {
	dir, err := os.MkdirTemp(shortTemp(), "pgci")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root := filepath.Join(dir, "d")
	if err := provision(ctx, dir, root, n); err != nil {
		return err
	}
	people, err := json.Marshal(seedOf(n))
	if err != nil {
		return err
	}
	// The distribution's interpreter by its path: another one that stands first
	// in PATH would not know samba's modules.
	python := exec.CommandContext(ctx, "/usr/bin/python3", "-c", seedScript, filepath.Join(root, "etc", "smb.conf"))
	python.Stdin = bytes.NewReader(people)
	if err := run(python); err != nil {
		return err
	}
	conf := filepath.Join(root, "etc", "smb.conf")
	if err := exportKeytab(ctx, conf, filepath.Join(root, keytabFile), ProxyPrincipal); err != nil {
		return err
	}
	// The rest of the directory is made anew by each controller.
	unfinished := path + ".tmp"
	if err := run(exec.CommandContext(ctx, "tar", "-C", root, "-cSf", unfinished, "private", "state")); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}

func provision(ctx context.Context, dir, root string, n names) error {
	tool, err := lookTool("samba-tool", "samba")
	if err != nil {
		return err
	}
	empty := filepath.Join(dir, "empty.conf")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		return err
	}
	// The address only ends up in smb.conf, which each controller writes anew.
	return run(exec.CommandContext(ctx, tool, "domain", "provision", "-s", empty,
		"--targetdir="+root, "--realm="+n.Realm, "--domain="+n.NetBIOS, "--server-role=dc",
		"--dns-backend=NONE", "--host-name=dc1", "--host-ip=127.0.0.1",
		"--adminpass="+AdministratorPassword,
		"--option=interfaces = 127.0.0.1/8", "--option=bind interfaces only = yes"))
}

// run runs a command to its end; its error holds what the command printed.
func run(cmd *exec.Cmd) error {
	const most = 4 << 10
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return fmt.Errorf("%s: %w:\n%s", filepath.Base(cmd.Path), err, bytes.TrimSpace(out))
}
