// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/units"
)

func newDescribeCmd() *cobra.Command {
	var g gatewayFlag
	var o outputFlag
	cmd := &cobra.Command{
		Use:   "describe NAME [flags]",
		Short: "Show all about a function: options, revisions, instances",
		Example: `  unifaas describe hello
  unifaas describe hello -o json | jq .revision.memory`,
		Args:              cobra.ExactArgs(1),
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
			d, err := c.Describe(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), d)
			}
			return printDescription(cmd.OutOrStdout(), d)
		},
	}
	g.add(cmd)
	o.add(cmd)
	return cmd
}

func snapshotOf(f api.Function) string {
	if f.Snapshot == 0 {
		return "none"
	}
	return units.HumanBytes(f.Snapshot)
}

func concurrencyOf(r api.Revision) string {
	if r.Concurrency == 0 {
		return "no limit"
	}
	return strconv.Itoa(r.Concurrency)
}

// stateOf is a revision's state, with what makes it interesting.
func stateOf(r api.Revision) string {
	switch {
	case r.Reason != "":
		return printable(r.State + ": " + r.Reason)
	case r.Served && r.State == control.Ready:
		return "served"
	}
	return r.State
}

func printDescription(w io.Writer, d api.Description) error {
	r := d.Revision
	line := func(what string, value any) { fmt.Fprintf(w, "%-13s %s\n", what+":", printable(fmt.Sprint(value))) }
	line("Name", d.Name)
	line("URL", d.URL)
	line("Image", r.Image)
	line("Digest", r.Digest)
	line("Revision", r.Name)
	if d.Next != nil {
		line("Next", d.Next.Name+" takes over when it answers")
	}
	line("Contract", r.Contract)
	line("Isolation", r.Isolation)
	line("Memory", units.FormatBytes(r.Memory))
	line("Timeout", units.FormatDuration(time.Duration(r.TimeoutMS)*time.Millisecond))
	line("Concurrency", concurrencyOf(r))
	line("Protocol", cmp.Or(r.Protocol, "http1, h2c for gRPC"))
	line("Probes", fmt.Sprintf("readiness %s, liveness %s, ready in at most %v, %v from SIGTERM to the end", cmp.Or(r.Readiness, "listens"), cmp.Or(r.Liveness, "none"),
		time.Duration(r.StartupMS)*time.Millisecond, time.Duration(r.GraceMS)*time.Millisecond))
	line("Egress", strings.Join(r.Egress, " "))
	if len(r.Secrets) > 0 {
		line("Secrets", strings.Join(r.Secrets, " "))
	}
	line("Instances", fmt.Sprintf("%d ready, %d starting, %d parked (min %d, max %d)", d.Ready, d.Booting, d.Parked, d.Min, d.Max))
	line("Snapshot", snapshotOf(d.Function))
	if d.Parked > 0 {
		line("Parked", fmt.Sprintf("%s of memory, %d woken for invocations", units.HumanBytes(d.ParkedMemory), d.Wakes))
	}
	if d.Rewinds > 0 {
		line("Rewinds", fmt.Sprintf("%d, %d pages and %v each", d.Rewinds, d.RewindPages/d.Rewinds, (time.Duration(d.RewindUS/d.Rewinds)*time.Microsecond)))
	}
	line("Invocations", fmt.Sprintf("%d (%d cold, %d timed out, %d refused), %d waiting", d.Invocations, d.Cold, d.Timeouts, d.Refused, d.Waiting))
	line("Crashes", d.Crashes)
	line("Created", d.Created.Local().Format(time.DateTime))
	for _, m := range []struct {
		what string
		vars map[string]string
	}{{"Environment", r.Env}, {"Labels", d.Labels}, {"Annotations", d.Annotations}} {
		what := m.what + ":"
		for _, k := range slices.Sorted(maps.Keys(m.vars)) {
			fmt.Fprintf(w, "%-13s %s\n", what, printable(k+"="+m.vars[k]))
			what = ""
		}
	}
	fmt.Fprintln(w)
	t := newTable(w, "REVISION", "STATE", "IMAGE", "MEMORY", "TIMEOUT", "CREATED")
	for _, r := range d.Revisions {
		t.row(r.Name, stateOf(r), imageName(r), units.FormatBytes(r.Memory), units.FormatDuration(time.Duration(r.TimeoutMS)*time.Millisecond), r.Created.Local().Format(time.DateTime))
	}
	if err := t.flush(); err != nil || len(d.Instances) == 0 {
		return err
	}
	fmt.Fprintln(w)
	return printInstances(w, d.Instances)
}
