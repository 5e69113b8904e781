// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newRollbackCmd() *cobra.Command {
	var g gatewayFlag
	var to int
	var noWait bool
	cmd := &cobra.Command{
		Use:   "rollback NAME [flags]",
		Short: "Serve an earlier revision of a function again",
		Long: `Serve an earlier revision of a function again: the one before the current one, or the one that --to names. It takes over as a new
one does: when one of its instances answers, and until then the current one serves every request. While a new revision is on its way,
rollback gives that up. 'unifaas describe NAME' lists the revisions.`,
		Example: `  unifaas rollback hello
  unifaas rollback hello --to 3`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.complete(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to < 0 || cmd.Flags().Changed("to") && to == 0 {
				return usagef("--to %d: give the number of a revision", to)
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			r, err := c.Rollback(cmd.Context(), args[0], to)
			if err != nil {
				return err
			}
			what := "unchanged"
			if r.Changed {
				what = "rolled back"
			}
			if !noWait {
				if r.Wanted, err = c.AwaitServed(cmd.Context(), args[0], r.Wanted.Number); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, revision %s%s\n", r.Function.Name, what, r.Wanted.Name, stillPending(r.Wanted))
			return err
		},
	}
	g.add(cmd)
	cmd.Flags().IntVar(&to, "to", 0, "`NUMBER` of the revision (default: the one before the current one)")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until it answers")
	return cmd
}
