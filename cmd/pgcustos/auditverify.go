package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/internal/config"
)

// maxVerifyInput bounds a key file and a kept checkpoint.
const maxVerifyInput = 1 << 20

// verifyFlags are those of verify.
type verifyFlags struct {
	config, journal       string
	publicKey, checkpoint string
	identity              string
}

func newVerify() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that the journal is what was written",
		Long: `Reads every record of the journal and proves checksums, sequence, hash chain and
signatures, offline, with the public key alone. Names the first record of each
stream that was changed, removed, moved, put in, or cut off. The exit code is 0
where all is as it was written, 1 where it is not or cannot be read, 2 where
something given here cannot be used.

What was cut off the end of the newest stream shows only against a checkpoint
that was kept elsewhere: a line of "pgcustos audit cat" with type checkpoint.

Of encrypted segments the seals, the signatures of their locks, the chain between them
and the ciphertexts are proven without anything else. With --identity their records
are read and proven too.`,
		Example: `  pgcustos audit verify --public-key journal.key.pub
  pgcustos audit verify --journal /mnt/evidence/journal --public-key journal.key.pub --checkpoint kept.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.options()
			if err != nil {
				return err
			}
			return verify(cmd, o)
		},
	}
	configFlag(cmd, &f.config)
	flags := cmd.Flags()
	flags.StringVar(&f.journal, "journal", "", "the journal's directory, instead of the configuration's")
	flags.StringVar(&f.publicKey, "public-key", "", "the public keys that may have signed, PEM; without it, signatures are not looked at")
	flags.StringVar(&f.checkpoint, "checkpoint", "", "a file with a checkpoint that was kept elsewhere, as a JSON line")
	identityFlag(cmd, &f.identity)
	return cmd
}

// options reads what verify is given. Errors are of usage.
func (f *verifyFlags) options() (o journal.VerifyOptions, err error) {
	o = journal.VerifyOptions{Path: f.journal}
	if o.Path == "" {
		if o.Path, err = config.JournalPath(f.config); err != nil {
			return o, errors.New(err.Error()) // one of usage, whatever it is elsewhere
		}
	}
	if info, err := os.Stat(o.Path); err != nil {
		return o, err
	} else if !info.IsDir() {
		return o, fmt.Errorf("%s is not a directory", o.Path)
	}
	if f.publicKey != "" {
		text, err := readSmall(f.publicKey)
		if err != nil {
			return o, err
		}
		if o.Keys, err = journal.ReadPublicKeys(text); err != nil {
			return o, fmt.Errorf("%s: %w", f.publicKey, err)
		}
	}
	if o.Identities, err = readIdentities(f.identity); err != nil {
		return o, err
	}
	if f.checkpoint != "" {
		text, err := readSmall(f.checkpoint)
		if err != nil {
			return o, err
		}
		if o.Kept, err = journal.ParseCheckpoint(text); err != nil {
			return o, fmt.Errorf("%s: %w", f.checkpoint, err)
		}
		if err := o.CheckKept(); err != nil {
			return o, fmt.Errorf("%s: %w", f.checkpoint, err)
		}
	}
	return o, nil
}

func readSmall(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(file, maxVerifyInput+1))
	if err == nil && len(text) > maxVerifyInput {
		err = fmt.Errorf("%s is larger than 1 MiB", name)
	}
	return text, err
}

func verify(cmd *cobra.Command, o journal.VerifyOptions) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begin := time.Now()
	v, err := journal.Verify(ctx, o)
	if errors.Is(err, context.Canceled) {
		return &failure{errors.New("interrupted: nothing was proven")}
	}
	if err != nil {
		return &failure{err}
	}
	report := verifyReport(v, &o, time.Since(begin))
	if _, err := io.WriteString(cmd.OutOrStdout(), report); err != nil {
		return &failure{err}
	}
	if len(v.Findings) > 0 {
		return errSaid
	}
	return nil
}

// verifyReport tells the result. What stands in the journal had an author:
// nothing of it may act in a terminal.
func verifyReport(v *journal.Verification, o *journal.VerifyOptions, took time.Duration) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(strings.Map(visible, fmt.Sprintf(format, args...)) + "\n")
	}
	var records, unsigned uint64
	var bytes int64
	for i := range v.Streams {
		s := &v.Streams[i]
		records += s.Records
		bytes += s.Bytes
		unsigned += s.Unsigned
		line("%s", streamLine(s, len(o.Keys) > 0))
	}
	for i := range v.Findings {
		line("TAMPERED  %s", v.Findings[i].String())
	}
	for _, note := range v.Notes {
		line("note  %s", note)
	}
	line("%s, %s, %d bytes, read in %s (%.0f MB/s)", counted(len(v.Streams), "stream"), counted(int(records), "record"), bytes,
		took.Round(time.Millisecond), float64(bytes)/1e6/took.Seconds())
	switch {
	case len(v.Findings) > 0:
		line("the journal is NOT what was written: %s", counted(len(v.Findings), "finding"))
	case len(o.Keys) == 0:
		line("the chain is whole; signatures were not looked at: give --public-key to prove who wrote it")
	default:
		line("the journal is what was written; no signature covers %s yet", counted(int(unsigned), "record"))
	}
	return b.String()
}

func streamLine(s *journal.VerifiedStream, keys bool) string {
	state := "closed"
	if !s.Finished {
		state = "not closed: it is being written, or its writer died"
	}
	covered := ""
	switch {
	case !keys:
	case s.Covered.IsZero():
		covered = ", not signed"
	default:
		covered = fmt.Sprintf(", signed up to %s, unsigned tail of %s", s.Covered.Format(time.RFC3339), counted(int(s.Unsigned), "record"))
	}
	return fmt.Sprintf("%s: %s in %s%s, %s", s.Name, counted(int(s.Records), "record"), counted(s.Segments, "segment"), covered, state)
}
