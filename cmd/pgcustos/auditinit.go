package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pgcustos/pgcustos/audit/sink/postgres"
	"github.com/pgcustos/pgcustos/internal/config"
)

// initFlags say as whom the audit database is made.
type initFlags struct {
	config, sink, host, user, passwordFile string
}

func newInit() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make, or migrate, the schema in the audit database",
		Long: `Makes the schema pgcustos in the database of a postgres sink, or migrates it: the
roles audit_owner, audit_writer and audit_reader, the table, and the views. The
writer gets the sink's password. Run again, it changes nothing else.`,
		Example: `  pgcustos audit init --user dba --password-file dba.password
  pgcustos audit init --host /run/postgresql`,
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error { return f.run(cmd) }),
	}
	configFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.sink, "sink", "", "the sink's name, where there are several of kind postgres")
	cmd.Flags().StringVar(&f.host, "host", "", "reach the server here instead: the directory of its Unix socket")
	cmd.Flags().StringVar(&f.user, "user", "postgres", "log in as this role, which may create roles and schemas")
	cmd.Flags().StringVar(&f.passwordFile, "password-file", "", "the file of its password; otherwise it is asked for, on a terminal")
	return cmd
}

func (f *initFlags) run(cmd *cobra.Command) error {
	c, err := config.Load(f.config)
	if err != nil {
		return err
	}
	s, err := postgresSink(c, f.sink)
	if err != nil {
		return err
	}
	o := s.Postgres
	o.User = f.user
	if f.host != "" {
		if !strings.HasPrefix(f.host, "/") {
			return fmt.Errorf("--host %s: it must be the directory of a Unix socket", f.host)
		}
		o.Host, o.TLS = f.host, nil
	}
	o.Password = func() (string, error) { return f.password(cmd, strings.HasPrefix(o.Host, "/")) }
	done, err := postgres.Init(cmd.Context(), o, postgres.Writer{User: s.Postgres.User, Password: s.Postgres.Password})
	if err != nil {
		return fmt.Errorf("sink %s: %w", s.Name, err)
	}
	for _, line := range done {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "the audit database of sink %s is ready\n", s.Name)
	return err
}

// postgresSink finds the sink of that name, or the only one where name is empty.
func postgresSink(c *config.Config, name string) (*config.Sink, error) {
	var found []*config.Sink
	for i := range c.Sinks {
		if s := &c.Sinks[i]; s.Kind == config.SinkPostgres && (name == "" || s.Name == name) {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, errors.New("there are several sinks of kind postgres: name one with --sink")
	case name != "":
		return nil, fmt.Errorf("the configuration has no sink %s of kind postgres", name)
	}
	return nil, errors.New("the configuration has no sink of kind postgres")
}

const maxPasswordFile = 4 << 10

// password reads the administrator's password. On a socket without a file the
// server knows the user by other means.
func (f *initFlags) password(cmd *cobra.Command, socket bool) (string, error) {
	if f.passwordFile != "" {
		file, err := os.Open(f.passwordFile)
		if err != nil {
			return "", err
		}
		defer file.Close() //nolint:errcheck // nothing was written
		b, err := io.ReadAll(io.LimitReader(file, maxPasswordFile))
		return string(bytes.TrimRight(b, "\r\n")), err
	}
	if socket {
		return "", nil
	}
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return "", errors.New("there is no terminal to ask on: give --password-file")
	}
	if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "Password of %s: ", f.user); err != nil {
		return "", err
	}
	b, err := term.ReadPassword(fd)
	_, _ = fmt.Fprintln(cmd.ErrOrStderr())
	return string(b), err
}
