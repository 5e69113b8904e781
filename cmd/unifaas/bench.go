// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
			// Opened now: a suite takes minutes, and is not to be for nothing.
			asJSON, err := openOutput(jsonFile)
			if err != nil {
				return err
			}
			defer asJSON.close()
			asHTML, err := openOutput(htmlFile)
			if err != nil {
				return err
			}
			defer asHTML.close()
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
			if err := asJSON.write(func(w io.Writer) error { return json.NewEncoder(w).Encode(r) }); err != nil {
				return err
			}
			if err := asHTML.write(func(w io.Writer) error { return bench.HTML(w, r) }); err != nil {
				return err
			}
			return bench.Print(cmd.OutOrStdout(), r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&jsonFile, "json", "", "write the result to `FILE`, as JSON")
	f.StringVar(&htmlFile, "html", "", "write the result to `FILE`, as a page")
	f.StringVar(&programs, "programs", "", "`FOLDER` of the programs that are measured (default: where make puts them)")
	f.IntVar(&o.Rounds, "rounds", 0, "measure each thing `N` times (default: by suite)")
	f.IntVar(&o.Instances, "instances", 0, "suite density: hold `N` parked instances (default: as many as fit)")
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

// output is a file that was asked for, or none. What it had stays until there is something to write.
type output struct {
	f    *os.File
	made bool // it was not there before, and nothing is in it yet
}

func openOutput(name string) (*output, error) {
	if name == "" {
		return &output{}, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	made := err == nil
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(name, os.O_WRONLY, 0)
	}
	return &output{f, made}, err
}

func (o *output) write(write func(io.Writer) error) error {
	if o.f == nil {
		return nil
	}
	o.made = false
	fi, err := o.f.Stat()
	if err == nil && fi.Mode().IsRegular() {
		err = o.f.Truncate(0)
	}
	if err == nil {
		err = write(o.f)
	}
	if cerr := o.f.Close(); err == nil {
		err = cerr
	}
	o.f = nil
	return err
}

// close is for the case that nothing was written.
func (o *output) close() {
	if o.f == nil {
		return
	}
	o.f.Close()
	if o.made {
		os.Remove(o.f.Name())
	}
}
