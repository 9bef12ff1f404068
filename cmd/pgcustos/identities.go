package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcustos/pgcustos/proxy/control"
	"github.com/pgcustos/pgcustos/proxy/services"
)

func newIdentities() *cobra.Command {
	f := &operateFlags{request: control.Request{Do: control.Identities}}
	cmd := f.command("identities", "List the declared services: who answers for them, their use, how long they may be used", func(cmd *cobra.Command, a *control.Answer) error {
		if f.asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(append([]services.Status{}, a.Services...))
		}
		return printServices(cmd.OutOrStdout(), a.Services)
	})
	cmd.Long = `Asks the process that serves how the declared services fared when it looked at
them last, which it does every directory.recheck.`
	cmd.Flags().BoolVar(&f.asJSON, "as-json", false, "as JSON, with all that is known")
	return cmd
}

func printServices(out io.Writer, list []services.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SERVICE\tSTATE\tOWNER\tOWNER'S STATE\tDAYS LEFT\tLAST USE\tSESSIONS\tPURPOSE")
	for i := range list {
		s := &list[i]
		days, last := "-", "-"
		if s.DaysLeft != nil {
			days = fmt.Sprint(*s.DaysLeft)
		}
		if s.LastUse != nil {
			last = s.LastUse.UTC().Format(time.DateTime)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", strings.Map(visible, s.Account), spaced(s.State), strings.Map(visible, s.Owner), spaced(s.OwnerState),
			days, last, s.Sessions, strings.Map(visible, s.Purpose))
	}
	return w.Flush()
}

func spaced(state string) string { return strings.ReplaceAll(state, "_", " ") }
