package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/proxy/backend"
)

func newBackendRotate() *cobra.Command {
	var path string
	var finish bool
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Replace a backend's authority without refusing anybody",
		Long: `Replaces the authority of a backend in three steps, each of which leaves the proxy
working:

 1. rotate NAME makes the next key, in a file beside the key with .next behind its
    name, and adds its certificate to the file of the authority's. Copy that to the
    server, and reload the server.
 2. rotate NAME again tries the next key at every host. If each role can log in, the
    key takes its place: reload the proxy (SIGHUP).
 3. rotate NAME --finish takes the older certificates out of the file. Copy it to the
    server, and reload the server.`,
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			s, err := loadSetup(path, args[0], cmd.OutOrStdout())
			if err != nil {
				return err
			}
			if s.options.Authority.Certificate == nil {
				return fmt.Errorf("backend %s has no authority yet: pgcustos backend add makes one", s.options.Name)
			}
			if finish {
				return s.retire()
			}
			return s.rotate(cmd.Context())
		}),
	}
	cmd.Flags().BoolVar(&finish, "finish", false, "take the older certificates out")
	configFlag(cmd, &path)
	return cmd
}

// nextKey is where the key waits that is to follow.
func (s *setup) nextKey() string { return s.files.Key + ".next" }

// rotate makes the next key, or takes it into use where the server is ready for it.
func (s *setup) rotate(ctx context.Context) error {
	next := *s.options.Authority
	err := config.ReadAuthority(config.AuthorityFiles{CA: s.files.CA, Key: s.nextKey()}, &next)
	switch {
	case err == nil:
		return s.promote(ctx, &next)
	case !s.waits():
		certificate, err := newAuthorityKey(s.options.Name, s.nextKey())
		if err != nil {
			return err
		}
		return s.announceNext(certificate)
	case next.Signer != nil && errors.Is(err, config.ErrNoCertificate):
		// It was cut short between the two files.
		certificate, err := backend.NewAuthority(s.options.Name, next.Signer, time.Now())
		if err != nil {
			return err
		}
		return s.announceNext(certificate)
	default:
		return err
	}
}

func (s *setup) waits() bool {
	_, err := os.Lstat(s.nextKey())
	return !errors.Is(err, fs.ErrNotExist)
}

// announceNext adds the next certificate to the authority's.
func (s *setup) announceNext(next *x509.Certificate) error {
	list, err := s.certificates()
	if err != nil {
		return err
	}
	if err := writeCertificates(s.files.CA, append(list, next)); err != nil {
		return err
	}
	s.say("The next authority of backend %s was made: %s", s.options.Name, backend.KeyID(next))
	s.say("Copy %s to the server, as its ssl_ca_file or into it, and reload the server (SELECT pg_reload_conf()).", s.files.CA)
	s.say("Then call pgcustos backend rotate %s again.", s.options.Name)
	return nil
}

// promote takes the next key into use, if every role can log in with it.
func (s *setup) promote(ctx context.Context, next *backend.Authority) error {
	if err := s.try(ctx, next); err != nil {
		if errors.Is(err, errSaid) {
			s.say("The key in use stays. Copy %s to the server, reload the server, and try again.", s.files.CA)
		}
		return err
	}
	if err := os.Rename(s.nextKey(), s.files.Key); err != nil {
		return err
	}
	s.say("Authority %s is in the place of the one before. Reload the proxy (SIGHUP), each one that has this key;", backend.KeyID(next.Certificate))
	s.say("then call pgcustos backend rotate %s --finish.", s.options.Name)
	return nil
}

// retire leaves the certificate of the key in use alone.
func (s *setup) retire() error {
	if s.waits() {
		return fmt.Errorf("%s is not in use yet: pgcustos backend rotate %s first", s.nextKey(), s.options.Name)
	}
	list, err := s.certificates()
	if err != nil {
		return err
	}
	if err := writeCertificates(s.files.CA, []*x509.Certificate{s.options.Authority.Certificate}); err != nil {
		return err
	}
	s.say("%s taken out of %s.", counted(len(list)-1, "certificate"), s.files.CA)
	s.say("Copy it to the server in the place of the one there, and reload the server.")
	return nil
}

func (s *setup) certificates() ([]*x509.Certificate, error) {
	data, err := os.ReadFile(s.files.CA)
	if err != nil {
		return nil, err
	}
	return config.Certificates(s.files.CA, data)
}

// writeCertificates replaces a file of certificates at once.
func writeCertificates(name string, list []*x509.Certificate) error {
	var text bytes.Buffer
	for _, c := range list {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".pgcustos-ca-")
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes())
	for _, step := range []func() error{
		func() error { return f.Chmod(0o644) }, f.Sync, f.Close, func() error { return os.Rename(f.Name(), name) },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
