// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/units"
)

func newLogsCmd() *cobra.Command {
	var g gatewayFlag
	var o outputFlag
	q := client.LogQuery{Tail: -1}
	since := ""
	cmd := &cobra.Command{
		Use:   "logs [-f] NAME [flags]",
		Short: "Show what a function printed, and what happened to its instances",
		Long: `Show what a function printed, and what happened to its instances: starts, ends, and for crashes signal, address and
registers. A line has its time, its instance, where it comes from (stdout, stderr, or system for the node) and its text.`,
		Example: `  unifaas logs hello
  unifaas logs -f hello --tail 10
  unifaas logs hello --since 5m -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.complete(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := o.json()
			if err != nil {
				return err
			}
			if since != "" {
				if q.Since, err = units.ParseDuration(since); err != nil {
					return usagef("--since: %w", err)
				}
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			q.Function = args[0]
			out := cmd.OutOrStdout()
			return c.Logs(ctx, q, func(l api.LogLine) error {
				if asJSON {
					return json.NewEncoder(out).Encode(l)
				}
				_, err := fmt.Fprintf(out, "%s %-8s %-6s %s\n", l.Timestamp.Local().Format("2006-01-02T15:04:05.000"), printable(l.Instance), printable(l.Stream), printable(l.Text))
				return err
			})
		},
	}
	g.add(cmd)
	o.add(cmd)
	f := cmd.Flags()
	f.BoolVarP(&q.Follow, "follow", "f", false, "go on with new lines until interrupted")
	f.IntVar(&q.Tail, "tail", -1, "only the last `N` lines; below 0: all")
	f.StringVar(&since, "since", "", "only lines not older than this `TIME`, like 10s, 5m, 2h")
	f.StringVar(&q.Instance, "instance", "", "only lines of this instance")
	return cmd
}
