// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

func newScaleCmd() *cobra.Command {
	var g gatewayFlag
	cmd := &cobra.Command{
		Use:   "scale NAME N [flags]",
		Short: "Keep N instances of a function ready",
		Long: `Keep N instances of a function ready: missing ones are started, idle ones beyond N end now. Load may still make more, up to
the function's max, which grows to N if it is less. With 0 the next request starts an instance again.`,
		Example: `  unifaas scale hello 3
  unifaas scale hello 0`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: g.complete(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 0 {
				return usagef("%q is not a number of instances", args[1])
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			f, err := c.Scale(cmd.Context(), args[0], n)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: min %d, max %d\n", f.Name, f.Min, f.Max)
			return err
		},
	}
	g.add(cmd)
	return cmd
}
