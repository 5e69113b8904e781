// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"github.com/spf13/cobra"

	"unifaas.dev/guest"
	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/runner"
	"unifaas.dev/internal/units"
)

func newRunCmd() *cobra.Command {
	o := runner.Options{Libos: guest.Libos(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	memory := "256M"
	cmd := &cobra.Command{
		Use:   "run [flags] [--] PROGRAM [ARG...]",
		Short: "Run one Linux program in a fresh unikernel",
		Long: `Run one Linux program in a fresh unikernel. Standard input, output and error are passed through, and so is the exit
status: N for exit(N), 128+N for signal N. Interrupts are passed on to the program.

The program sees the files of this machine, or those of another folder or an image (--root). It cannot change them: what it
writes is in its own memory and gone when it ends. PROGRAM is looked up as a shell does: through PATH, or with a slash as a path from the
working directory, which is / if the root folder is another one. It may be linked statically or dynamically, or be a script.`,
		Example: `  unifaas run ./hello World
  unifaas run -- /usr/bin/python3 -c 'print(1)'
  unifaas run -- sh -c 'ls / | wc -l'
  unifaas run --memory 1G --env GOMAXPROCS=1 -- ./sort -r < words
  unifaas run --timing ./hello`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Memory, err = units.ParseBytes(memory); err != nil {
				return usagef("--memory: %w", err)
			}
			if err := runner.CheckEnv(o.Env); err != nil {
				return usagef("--env: %w", err)
			}
			if _, err := egress.Parse(o.Egress); err != nil {
				return usagef("--egress: %w", err)
			}
			o.Program, o.Args = args[0], args
			code, err := runner.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if code != 0 {
				return exitStatus(code)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // flags after PROGRAM are the program's
	f.StringVar(&o.Monitor, "monitor", "auto", "kind of sandbox: auto, kvm")
	f.StringVarP(&memory, "memory", "m", memory, "memory of the virtual machine")
	f.StringArrayVarP(&o.Env, "env", "e", nil, "environment variable `K=V` of the program; may be repeated")
	f.StringArrayVar(&o.Egress, "egress", nil, "where the program may connect to: public, none, all, or an address, prefix or name `RULE`; may be repeated (default public)")
	f.StringVar(&o.Root, "root", "/", "`FOLDER` or EROFS image that the program has as its root folder, read-only")
	f.BoolVar(&o.Timing, "timing", false, "print what the start consisted of on standard error")
	f.BoolVar(&o.Strace, "strace", false, "print every system call on standard error")
	return cmd
}
