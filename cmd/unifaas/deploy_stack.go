// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/control"
	"unifaas.dev/internal/stack"
)

// deployStack deploys the functions of a stack file, or those of them that are named.
func (o *deployFlags) deployStack(cmd *cobra.Command, names []string) error {
	s, err := stack.Read(o.stack, names)
	if err != nil {
		return err
	}
	if o.address == "" && s.Gateway != "" && s.Gateway != client.DefaultAddress {
		o.address = s.Gateway
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	if len(s.Ignored) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "unifaas: warning: %s: these mean nothing here: %s\n", o.stack, strings.Join(s.Ignored, ", "))
	}
	var failed []error
	for _, f := range s.Functions {
		if err := o.deployOne(cmd, c, f); err != nil {
			failed = append(failed, fmt.Errorf("function %s: %w", f.Service, err))
		}
	}
	return errors.Join(failed...)
}

func (o *deployFlags) deployOne(cmd *cobra.Command, c *client.Client, f stack.Function) error {
	ctx, key := cmd.Context(), control.JoinName(f.Service, f.Namespace)
	if f.Source != "" {
		if err := o.upload(ctx, c, key, f.Source); err != nil {
			return err
		}
		f.Image = cmp.Or(o.request.ImageName, o.request.Image)
	}
	before, err := c.Describe(ctx, key)
	var status *client.StatusError
	if err != nil && !errors.As(err, &status) {
		return err
	}
	created, err := c.DeployOpenFaaS(ctx, f.FunctionDeployment)
	if err != nil {
		return err
	}
	d, err := c.Describe(ctx, key)
	if err != nil {
		return err
	}
	wanted := d.Revisions[0]
	what := "unchanged"
	switch {
	case created:
		what = "deployed"
	case len(before.Revisions) == 0 || before.Revisions[0].Number != wanted.Number:
		what = "changed"
	}
	if !o.noWait {
		if wanted, err = c.AwaitServed(ctx, key, wanted.Number); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, revision %s, at %s%s\n", d.Name, what, wanted.Name, d.URL, stillPending(wanted))
	return err
}

// checkStack refuses options that are for one function.
func (o *deployFlags) checkStack(cmd *cobra.Command) error {
	var wrong []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "file", "gateway", "no-wait", "max-size":
		default:
			wrong = append(wrong, "--"+f.Name)
		}
	})
	if len(wrong) > 0 {
		return usagef("%s: with --file, the file says it", strings.Join(wrong, ", "))
	}
	if _, err := os.Stat(o.stack); err != nil {
		return usagef("--file: %w", err)
	}
	return nil
}
