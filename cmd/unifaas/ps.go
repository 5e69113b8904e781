// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
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
	var memory bool
	cmd := &cobra.Command{
		Use:   "ps [NAME] [flags]",
		Short: "List instances, of one function or of all",
		Long: `List instances, of one function or of all. MEMORY is what only this instance has; for one that is parked, what is kept of it. Of a function
with many parked instances a line at the end says how many; -o json has them all.`,
		Example: `  unifaas ps
  unifaas ps hello -o json
  unifaas ps --memory`,
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
			if memory {
				m, err := c.Memory(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), m)
				}
				return printMemory(cmd.OutOrStdout(), m, function)
			}
			if asJSON {
				list, err := c.Instances(cmd.Context(), function)
				if err != nil {
					return err
				}
				return printJSON(cmd.OutOrStdout(), list)
			}
			list, err := c.SomeInstances(cmd.Context(), function, listedParked)
			if err != nil {
				return err
			}
			functions, err := c.Functions(cmd.Context())
			if err != nil {
				return err
			}
			if err := printInstances(cmd.OutOrStdout(), list); err != nil {
				return err
			}
			for _, f := range functions {
				if f.Parked > listedParked && (function == "" || function == f.Name) {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %d parked, %s\n", f.Name, f.Parked, units.HumanBytes(f.ParkedMemory))
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&memory, "memory", false, "show what each revision takes: instances, shells, snapshot, parked instances")
	g.add(cmd)
	o.add(cmd)
	return cmd
}

// listedParked is how many parked instances of a function are listed one by one.
const listedParked = 10

// printMemory: TENDER is the process's private memory, of which INSTANCES are a part.
func printMemory(w io.Writer, m api.Memory, function string) error {
	t := newTable(w, "FUNCTION", "REVISION", "RUNNING", "INSTANCES", "SHELLS", "TENDER", "PSS", "PARKED", "KEPT", "SNAPSHOT", "PID")
	for _, r := range m.Tenders {
		if function == "" || function == r.Function {
			t.row(r.Function, r.Revision, r.Running, units.HumanBytes(r.Instances), r.Shells, units.HumanBytes(r.Private), units.HumanBytes(r.Proportional),
				r.Parked, units.HumanBytes(r.ParkedMemory), units.HumanBytes(r.Snapshot), r.TenderPID)
		}
	}
	if err := t.flush(); err != nil || function != "" {
		return err
	}
	budget := "no budget"
	if m.Budget > 0 {
		budget = "of " + units.HumanBytes(m.Budget)
	}
	short := ""
	if m.Short {
		short = ", memory is short"
	}
	_, err := fmt.Fprintf(w, "\n%s used, %s%s; %d snapshots on disk, %s\n", units.HumanBytes(m.Used), budget, short, m.Snapshots, units.HumanBytes(m.Disk))
	return err
}

func printInstances(w io.Writer, list []api.Instance) error {
	t := newTable(w, "INSTANCE", "FUNCTION", "REVISION", "STATE", "RUNNING", "INVOCATIONS", "MEMORY", "CPU", "BOOT", "AGE", "TENDER")
	for _, i := range list {
		t.row(i.ID, i.Function, i.Revision, i.State, i.Inflight, i.Invocations, units.HumanBytes(cmp.Or(i.Private, i.Memory)), fmt.Sprintf("%.1fs", float64(i.CPUMS)/1000),
			fmt.Sprintf("%.1fms", float64(i.BootUS)/1000), units.Since(time.Since(i.Created)), i.TenderPID)
	}
	return t.flush()
}
