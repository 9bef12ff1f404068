package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pgcustos/pgcustos/audit/reading"
	"github.com/pgcustos/pgcustos/internal/config"
)

// announceTimeout bounds how long a command waits for its reading to be on record.
const announceTimeout = 5 * time.Second

// announce puts on record that somebody reads, and what. Where that cannot be, it
// says so and lets the command go on: whoever may read the files can read them
// without this program too.
func (f *auditFlags) announce(ctx context.Context, cmd *cobra.Command, path string, args []string) {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	n := reading.Notice{Command: strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" "), Filter: filterText(cmd, args)}
	err := f.tell(ctx, path, n)
	if err != nil {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "pgcustos: this reading is not on record: %s\n", strings.Map(visible, err.Error()))
	}
}

// tell puts a notice on record by way of the process that serves, or alone.
func (f *auditFlags) tell(ctx context.Context, path string, n reading.Notice) error {
	err := reading.Tell(ctx, path, n)
	if errors.Is(err, reading.ErrNobody) && f.journal == "" {
		err = f.alone(ctx, n)
	}
	return err
}

// alone writes the record itself, signed as the configuration says. A journal that
// was named by its directory may be evidence: nothing is written to it.
func (f *auditFlags) alone(ctx context.Context, n reading.Notice) error {
	c, err := config.Load(f.config)
	if err != nil {
		return fmt.Errorf("no process serves this journal, and the configuration cannot be used: %w", err)
	}
	if err := reading.Alone(ctx, c.Journal, n); err != nil {
		return fmt.Errorf("no process serves this journal: %w", err)
	}
	return nil
}

// filterText is what was asked for: the flags as they were given, without those
// that say where, and the arguments.
func filterText(cmd *cobra.Command, args []string) string {
	var parts []string
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		switch flag.Name {
		case "config", "journal":
		default:
			parts = append(parts, "--"+flag.Name+"="+shellWord(flag.Value.String()))
		}
	})
	for _, a := range args {
		parts = append(parts, shellWord(a))
	}
	return strings.Join(parts, " ")
}

// shellWord quotes what is more than one plain word.
func shellWord(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || strings.ContainsRune("\"'\\`$", c) || c > '~' }) {
		return s
	}
	return strconv.QuoteToGraphic(s)
}
