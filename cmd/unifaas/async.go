// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/units"
)

func newAsyncCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "async COMMAND",
		Short: "Asynchronous invocations: what waits, and what could not be done",
		Long: `Look after asynchronous invocations, which 'unifaas invoke --async' and POST /async-function/NAME make. One that fails is tried
again; if that does not help it becomes a dead letter, which is kept for 30 days.`,
		Example: `  unifaas async ls
  unifaas async show 0b54b6ba-6c2f-4dd6-9d5f-5d8b2d6f3c11
  unifaas async replay --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAsyncLsCmd(), newAsyncShowCmd(), newAsyncReplayCmd(), newAsyncRmCmd())
	return cmd
}

func newAsyncLsCmd() *cobra.Command {
	var g gatewayFlag
	var o outputFlag
	var function string
	cmd := &cobra.Command{
		Use:     "ls [flags]",
		Aliases: []string{"list"},
		Short:   "List queues and dead letters",
		Example: `  unifaas async ls
  unifaas async ls --function hello
  unifaas async ls -o json | jq -r '.dead[].id'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := o.json()
			if err != nil {
				return err
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			a, err := c.Async(cmd.Context(), function)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), a)
			}
			return printAsync(cmd.OutOrStdout(), a)
		},
	}
	g.add(cmd)
	o.add(cmd)
	cmd.Flags().StringVar(&function, "function", "", "only those of function `NAME`")
	return cmd
}

func printAsync(w io.Writer, a api.Async) error {
	if len(a.Queues) > 0 {
		t := newTable(w, "FUNCTION", "QUEUED", "RUNNING", "CALLBACKS")
		for _, q := range a.Queues {
			t.row(q.Function, q.Queued, q.Running, q.Callbacks)
		}
		if err := t.flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	t := newTable(w, "DEAD LETTER", "KIND", "FUNCTION", "ATTEMPTS", "AGE", "REASON")
	for _, d := range a.Dead {
		t.row(d.ID, d.Kind, d.Function, d.Attempts, units.Since(time.Since(d.Died)), d.Reason)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if more := a.DeadTotal - len(a.Dead); more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
	return nil
}

func newAsyncShowCmd() *cobra.Command {
	var g gatewayFlag
	var o outputFlag
	cmd := &cobra.Command{
		Use:   "show ID [flags]",
		Short: "Show all about a dead letter",
		Example: `  unifaas async show 0b54b6ba-6c2f-4dd6-9d5f-5d8b2d6f3c11
  unifaas async show 0b54b6ba-6c2f-4dd6-9d5f-5d8b2d6f3c11 -o json | jq -r .body | base64 -d`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := o.json()
			if err != nil {
				return err
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			d, err := c.DeadLetter(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(d)
			}
			printDead(cmd.OutOrStdout(), d)
			return nil
		},
	}
	g.add(cmd)
	o.add(cmd)
	return cmd
}

func printDead(w io.Writer, d api.DeadLetter) {
	line := func(what string, value any) {
		if s := printable(fmt.Sprint(value)); s != "" {
			fmt.Fprintf(w, "%-10s %s\n", what+":", s)
		}
	}
	line("ID", d.ID)
	line("Kind", d.Kind)
	line("Function", d.Function)
	line("Call", d.CallID)
	line("Callback", d.Callback)
	line("Request", strings.TrimSpace(d.Method+" "+d.Path))
	line("Reason", d.Reason)
	line("Attempts", d.Attempts)
	if d.Status != 0 {
		line("Status", d.Status)
	}
	line("Accepted", d.Accepted.Local().Format(time.DateTime))
	line("Given up", d.Died.Local().Format(time.DateTime))
	line("Body", fmt.Sprintf("%d bytes", d.Size))
	for _, k := range slices.Sorted(maps.Keys(d.Header)) {
		for _, v := range d.Header[k] {
			line("Header", k+": "+v)
		}
	}
	if len(d.Body) == 0 {
		return
	}
	fmt.Fprintln(w)
	text := string(d.Body)
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }) {
		fmt.Fprintln(w, "(the body is not text: -o json has it)")
		return
	}
	fmt.Fprintln(w, strings.TrimSuffix(text, "\n"))
	if d.Truncated {
		fmt.Fprintf(w, "(%d bytes of %d)\n", len(d.Body), d.Size)
	}
}

func newAsyncReplayCmd() *cobra.Command {
	var g gatewayFlag
	var all bool
	var function string
	cmd := &cobra.Command{
		Use:   "replay ID... | --all [flags]",
		Short: "Put dead letters back into the queue",
		Example: `  unifaas async replay 0b54b6ba-6c2f-4dd6-9d5f-5d8b2d6f3c11
  unifaas async replay --all
  unifaas async replay --all --function hello`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case all == (len(args) > 0):
				return usagef("give the ids of dead letters, or --all")
			case function != "" && !all:
				return usagef("--function goes with --all")
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			if all {
				n, err := c.ReplayAll(cmd.Context(), function)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%d queued again\n", n)
				}
				return err
			}
			return eachID(args, func(id string) error {
				if err := c.Replay(cmd.Context(), id); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: queued again\n", id)
				return nil
			})
		},
	}
	g.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters")
	cmd.Flags().StringVar(&function, "function", "", "with --all: only those of function `NAME`")
	return cmd
}

func newAsyncRmCmd() *cobra.Command {
	var g gatewayFlag
	cmd := &cobra.Command{
		Use:     "rm ID... [flags]",
		Aliases: []string{"remove"},
		Short:   "Throw dead letters away",
		Example: `  unifaas async rm 0b54b6ba-6c2f-4dd6-9d5f-5d8b2d6f3c11`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			return eachID(args, func(id string) error {
				if err := c.DropDead(cmd.Context(), id); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: removed\n", id)
				return nil
			})
		},
	}
	g.add(cmd)
	return cmd
}

// eachID goes on after failures and tells all of them.
func eachID(ids []string, f func(string) error) error {
	var failed []error
	for _, id := range ids {
		failed = append(failed, f(id))
	}
	return errors.Join(failed...)
}
