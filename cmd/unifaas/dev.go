// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/dev"
	"unifaas.dev/internal/gateway/api"
)

func newDevCmd() *cobra.Command {
	var o deployFlags
	var remove, quiet bool
	cmd := &cobra.Command{
		Use:   "dev [[NAME] SOURCE] [flags]",
		Short: "Deploy a source, and again whenever it changes",
		Long: `Build and deploy a source, as 'unifaas deploy NAME SOURCE' does, and do that again whenever a file of it changes, until interrupted. What the
function prints is shown. While a new revision is built and started, and when that fails, the one before goes on.

SOURCE is a folder or a file, by default this folder; NAME is by default what it is called.`,
		Example: `  cd hello && unifaas dev
  unifaas dev ./hello --memory 64M
  unifaas dev hello-dev ./hello --rm`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := devArgs(args)
			if err != nil {
				return err
			}
			if err := o.parse(cmd, args); err != nil {
				return &usageError{err}
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			if _, err := c.Info(cmd.Context()); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			out, errs := &lockedWriter{w: cmd.OutOrStdout()}, &lockedWriter{w: cmd.ErrOrStderr()}
			var logs sync.WaitGroup
			defer logs.Wait()
			shown := quiet
			err = dev.Run(ctx, dev.Options{Source: args[1], Err: errs, Do: func(ctx context.Context) {
				switch err := o.deploy(ctx, out, args); {
				case ctx.Err() != nil:
				case err != nil:
					fmt.Fprintf(errs, "unifaas: %s\n", strings.Join(strings.Fields(err.Error()), " "))
				case !shown:
					shown = true
					logs.Go(func() { showLog(ctx, c, args[0], out, errs) })
				}
			}})
			stop()
			if remove {
				if rerr := c.Remove(cmd.Context(), args[0]); err == nil {
					err = rerr
				}
			}
			return err
		},
	}
	o.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&remove, "rm", false, "remove the function at the end")
	f.BoolVarP(&quiet, "quiet", "q", false, "do not show what the function prints")
	return cmd
}

// devArgs fills in the name and the source.
func devArgs(args []string) ([]string, error) {
	if len(args) == 2 {
		return args, nil
	}
	source := "."
	if len(args) == 1 {
		source = args[0]
	}
	abs, err := filepath.Abs(source)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(abs)
	return []string{strings.TrimSuffix(name, filepath.Ext(name)), source}, nil
}

// showLog shows what a function prints from now on.
func showLog(ctx context.Context, c *client.Client, name string, out, errs io.Writer) {
	err := c.Logs(ctx, client.LogQuery{Function: name, Tail: 0, Follow: true}, func(l api.LogLine) error {
		_, err := fmt.Fprintf(out, "%s %-6s %s\n", l.Timestamp.Local().Format("15:04:05.000"), printable(l.Stream), printable(l.Text))
		return err
	})
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(errs, "unifaas: the log is not shown any more: %v\n", err)
	}
}

// lockedWriter lets several write to one.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
