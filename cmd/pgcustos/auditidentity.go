package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// identityFlag adds the flag of commands that read segments which may be encrypted.
func identityFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().StringVar(into, "identity", "", "an age identity file (age-keygen), for segments that are encrypted to its public key")
}

// readIdentities reads the file that --identity names; nil where none is named.
func readIdentities(name string) (*journal.Identities, error) {
	if name == "" {
		return nil, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	keys, err := journal.ReadIdentities(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return keys, nil
}
