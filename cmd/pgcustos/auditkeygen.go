package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/audit/journal"
)

func newKeygen() *cobra.Command {
	var out string
	var digest bool
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make the key that signs the journal's checkpoints, or one for digests",
		Long: `Makes an Ed25519 key: the private one for journal.signing_key (PKCS#8, mode
0600), and beside it, with .pub behind its name, the public one that verify
needs. Keep the public key where the proxy's host cannot change it. With
--digest it makes a key for journal.digest_key instead, which several nodes can
share: equal texts have equal digests then. No file is ever overwritten.`,
		Example: "  pgcustos audit keygen --out /etc/pgcustos\n  pgcustos audit keygen --out /etc/pgcustos/journal-2027.key",
		Args:    cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			file, name := out, "journal.key"
			if digest {
				name = "digest.key"
			}
			if info, err := os.Stat(out); err == nil && info.IsDir() {
				file = filepath.Join(out, name)
			}
			if digest {
				if err := writeNew(file, 0o600, journal.NewDigestKey().PEM()); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "digest key   %s\n", file)
				return err
			}
			id, err := keygen(file)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "private key  %s\npublic key   %s.pub\nkey id       %s\n", file, file, id)
			return err
		}),
	}
	cmd.Flags().StringVar(&out, "out", "", "the file to write, or a directory: journal.key in it")
	cmd.Flags().BoolVar(&digest, "digest", false, "make a key for digests (journal.digest_key)")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

// keygen writes a new private key to file and the public one to file.pub, and
// returns its id.
func keygen(file string) (string, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", err
	}
	defer clear(secret)
	shown, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	// The public one first: a private key that is there can be used.
	if err := writeNew(file+".pub", 0o644, &pem.Block{Type: "PUBLIC KEY", Bytes: shown}); err != nil {
		return "", err
	}
	if err := writeNew(file, 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: secret}); err != nil {
		return "", errors.Join(err, os.Remove(file+".pub"))
	}
	return journal.KeyID(public), nil
}

// writeNew writes a file that is not there yet, and leaves none where it fails.
func writeNew(name string, mode fs.FileMode, block *pem.Block) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and a key is never overwritten", name)
	}
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(block)
	defer clear(text)
	_, err = f.Write(text)
	for _, step := range []func() error{func() error { return f.Chmod(mode) }, f.Sync, f.Close} {
		if stepErr := step(); err == nil {
			err = stepErr
		}
	}
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}
