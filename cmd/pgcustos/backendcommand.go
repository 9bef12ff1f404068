package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/internal/config"
	"github.com/pgcustos/pgcustos/proxy/backend"
)

func newBackendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backend",
		Short: "Set up backends that know the proxy by certificate (auth: certificate)",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("a command is missing: add or rotate")
		},
	}
	cmd.AddCommand(newBackendAdd(), newBackendRotate())
	return cmd
}

func newBackendAdd() *cobra.Command {
	var path string
	var from []string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a backend's authority, print what its server needs, and try it",
		Long: `Makes the authority that signs certificates for a backend of the configuration,
where there is none yet: the key (mode 0600) and the certificate, in the files that
the backend's certificate section names. Then it prints the lines of postgresql.conf,
pg_hba.conf and pg_ident.conf and the roles that the server needs, and tries to log
in as each role that the rules name. The exit code is 1 until all of them can: put
the lines in their places, and call it again.`,
		Example: "  pgcustos backend add ledger\n  pgcustos backend add ledger --from 10.20.0.5/32 --from 10.20.0.6/32",
		Args:    cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			s, err := loadSetup(path, args[0], cmd.OutOrStdout())
			if err != nil {
				return err
			}
			if err := s.proxies(from); err != nil {
				return err
			}
			if err := s.found(); err != nil {
				return err
			}
			s.instruct()
			return s.try(cmd.Context(), s.options.Authority)
		}),
	}
	cmd.Flags().StringArrayVar(&from, "from", nil, "an address of the proxy, as the server sees it (default: that of the route to it)")
	configFlag(cmd, &path)
	return cmd
}

// setup is a backend whose authority is made or replaced.
type setup struct {
	config  *config.Config
	options *backend.Options
	files   config.AuthorityFiles
	from    []netip.Prefix
	out     io.Writer
}

func loadSetup(path, name string, out io.Writer) (*setup, error) {
	c, err := config.LoadUnmade(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range c.Backends {
		b := &c.Backends[i]
		names = append(names, b.Name)
		if b.Name != name {
			continue
		}
		if b.Authority == nil {
			return nil, fmt.Errorf("backend %s has passwords: give it auth: certificate and certificate: {ca: %[1]s-ca.pem, key: %[1]s-ca.key} in the place of its credentials", name)
		}
		if len(b.Authority.Roles) == 0 {
			return nil, fmt.Errorf("no rule leads to backend %s: there is no role to set up", name)
		}
		return &setup{config: c, options: b, files: c.Authorities[name], out: out}, nil
	}
	return nil, fmt.Errorf("there is no backend %q in %s; known: %s", name, path, strings.Join(names, ", "))
}

func (s *setup) say(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format+"\n", args...) }

// found makes the authority, where there is none.
func (s *setup) found() error {
	a := s.options.Authority
	made := "is there"
	if a.Certificate == nil {
		made = "was made"
		if err := newAuthority(s.options.Name, s.files); err != nil {
			return err
		}
		if err := config.ReadAuthority(s.files, a); err != nil {
			return err
		}
	}
	s.say("The authority of backend %s %s: %s, key %s", s.options.Name, made, s.files.CA, s.files.Key)
	s.say("It is %s, and ends on %s.\n", backend.KeyID(a.Certificate), a.Certificate.NotAfter.UTC().Format(time.DateOnly))
	return nil
}

// newAuthority writes an authority's key, and then its certificate.
func newAuthority(name string, files config.AuthorityFiles) error {
	certificate, err := newAuthorityKey(name, files.Key)
	if err != nil {
		return err
	}
	if err := writeNew(files.CA, 0o644, &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}); err != nil {
		return errors.Join(err, os.Remove(files.Key))
	}
	return nil
}

// newAuthorityKey writes a new key, and makes the certificate that belongs to it.
func newAuthorityKey(name, file string) (*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := backend.NewAuthority(name, key, time.Now())
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return certificate, writeNew(file, 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// try logs in as each role at each host.
func (s *setup) try(ctx context.Context, a *backend.Authority) error {
	b := *s.options
	b.Authority = a
	r := &report{w: s.out}
	r.backend(ctx, s.config, &b)
	switch {
	case r.err != nil:
		return r.err
	case r.failed:
		return errSaid
	}
	return nil
}
