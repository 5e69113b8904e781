// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newRmCmd() *cobra.Command {
	var g gatewayFlag
	cmd := &cobra.Command{
		Use:     "rm NAME... [flags]",
		Aliases: []string{"remove"},
		Short:   "Remove functions; what they run is finished first",
		Long: `Remove functions with their logs. No new request is taken; instances end when they have finished what they run. The images
stay.`,
		Example:           `  unifaas rm hello`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: g.complete(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			var failed []error
			for _, name := range args {
				if err := c.Remove(cmd.Context(), name); err != nil {
					failed = append(failed, err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: removed\n", name)
			}
			return errors.Join(failed...)
		},
	}
	g.add(cmd)
	return cmd
}
