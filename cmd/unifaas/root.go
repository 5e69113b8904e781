// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes of every verb, except run, which passes on its program's.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// newRootCmd collects the verbs.
func newRootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "unifaas",
		Short: "Functions as unikernels: unmodified Linux programs, each in a virtual machine of its own",
		Long: `UniFaaS is a serverless operating system. A function is an unmodified Linux program; each of its instances runs in a
unikernel: the program and a small library OS, alone in a virtual machine.`,
		Example: `  unifaas run ./hello World            # run one program in a fresh unikernel
  unifaas up                           # start a node
  unifaas deploy thumbnail ./thumbnail # make a function of a program
  unifaas invoke thumbnail -d @in.jpg > out.jpg   # call it`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(
		newUpCmd(),
		newRunCmd(),
		newNewCmd(),
		newDevCmd(),
		newBuildCmd(),
		newDeployCmd(),
		newInvokeCmd(),
		newAsyncCmd(),
		newLsCmd(),
		newDescribeCmd(),
		newLogsCmd(),
		newPsCmd(),
		newScaleCmd(),
		newRollbackCmd(),
		newRmCmd(),
		newSecretCmd(),
		newNamespaceCmd(),
		newLoginCmd(),
		newDoctorCmd(),
		newBenchCmd(),
	)
	return root
}

// usageError is wrong usage: exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef is for verbs that find their arguments wrong.
func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exitStatus ends the process with a code and says nothing.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// execute runs the verb that the command line names and returns the exit code. An error is one line.
func execute(root *cobra.Command, stderr io.Writer) int {
	ran := false
	markRan(root, &ran)
	cmd, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return exitDone
	}
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	var usage *usageError
	if errors.As(err, &usage) || !ran {
		fmt.Fprintf(stderr, "unifaas: %s (see '%s --help')\n", text, cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(stderr, "unifaas: %s\n", text)
	return exitFailed
}

// markRan notes that a verb was reached: errors before that (unknown verbs, wrong number of arguments) are wrong usage.
func markRan(cmd *cobra.Command, ran *bool) {
	if f := cmd.RunE; f != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*ran = true
			return f(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		markRan(sub, ran)
	}
}
