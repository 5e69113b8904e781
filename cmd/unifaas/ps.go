// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/units"
)

func newPsCmd() *cobra.Command {
	var g gatewayFlag
	var o outputFlag
	cmd := &cobra.Command{
		Use:   "ps [NAME] [flags]",
		Short: "List instances, of one function or of all",
		Example: `  unifaas ps
  unifaas ps hello -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.complete(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := o.json()
			if err != nil {
				return err
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			function := ""
			if len(args) == 1 {
				function = args[0]
			}
			list, err := c.Instances(cmd.Context(), function)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			return printInstances(cmd.OutOrStdout(), list)
		},
	}
	g.add(cmd)
	o.add(cmd)
	return cmd
}

func printInstances(w io.Writer, list []api.Instance) error {
	t := newTable(w, "INSTANCE", "FUNCTION", "REVISION", "STATE", "RUNNING", "INVOCATIONS", "MEMORY", "CPU", "BOOT", "AGE", "TENDER")
	for _, i := range list {
		t.row(i.ID, i.Function, i.Revision, i.State, i.Inflight, i.Invocations, units.HumanBytes(i.Memory), fmt.Sprintf("%.1fs", float64(i.CPUMS)/1000),
			fmt.Sprintf("%.1fms", float64(i.BootUS)/1000), units.Since(time.Since(i.Created)), i.TenderPID)
	}
	return t.flush()
}
