// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"unifaas.dev/guest"
	"unifaas.dev/internal/bench"
)

func newBenchCmd() *cobra.Command {
	var jsonFile, htmlFile, programs string
	o := bench.Options{Libos: guest.Libos()}
	cmd := &cobra.Command{
		Use:   "bench SUITE",
		Short: "Measure unikernels against plain processes and containers",
		Long: `Measure unikernels against plain processes and containers on this machine, turn by turn in one run, and print medians and
their ratios. Nodes and containers that it needs are started for it and removed again.

Suites:
  ` + strings.Join(bench.Suites(), "\n  "),
		Example: `  unifaas bench start
  unifaas bench syscall --json syscall.json --html syscall.html`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: bench.Names(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Suite = args[0]; !bench.Known(o.Suite) {
				return usagef("no suite %q: use one of %s", o.Suite, strings.Join(bench.Names(), ", "))
			}
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			o.Exe, o.Programs = exe, bench.Folders(exe)
			if programs != "" {
				o.Programs = []string{programs}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGTERM, unix.SIGINT)
			defer stop()
			show, done := progressLine(os.Stderr)
			o.Progress = show
			r, err := bench.Run(ctx, o)
			done()
			if err != nil {
				return err
			}
			if err := writeFile(jsonFile, func(w io.Writer) error { return json.NewEncoder(w).Encode(r) }); err != nil {
				return err
			}
			if err := writeFile(htmlFile, func(w io.Writer) error { return bench.HTML(w, r) }); err != nil {
				return err
			}
			return bench.Print(cmd.OutOrStdout(), r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&jsonFile, "json", "", "write the result to `FILE`, as JSON")
	f.StringVar(&htmlFile, "html", "", "write the result to `FILE`, as a page")
	f.StringVar(&programs, "programs", "", "`FOLDER` of the programs that are measured (default: where make puts them)")
	f.BoolVar(&o.Small, "small", false, "only see that it works: the figures mean nothing")
	return cmd
}

// progressLine shows where a long job is: one line that changes on a terminal, nothing elsewhere. done takes it away.
func progressLine(to *os.File) (show func(string, ...any), done func()) {
	if !isTerminal(to) {
		return func(string, ...any) {}, func() {}
	}
	return func(format string, args ...any) { fmt.Fprintf(to, "\r\x1b[K"+format, args...) }, func() { fmt.Fprint(to, "\r\x1b[K") }
}

// writeFile writes a file that was asked for; an empty name is none.
func writeFile(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
