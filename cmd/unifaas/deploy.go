// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/control"
	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/build"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/units"
)

// deployFlags are the options of deploy as they were typed.
type deployFlags struct {
	gatewayFlag
	image, memory, timeout string
	env, egress, secrets   []string
	min, max, concurrency  int
	queue, weight          int
	cpu                    string
	build                  buildFlags
	noWait, readOnly       bool
	serving                servingFlags
	stack                  string
	request                api.DeployRequest
}

func newDeployCmd() *cobra.Command {
	var o deployFlags
	cmd := &cobra.Command{
		Use:   "deploy NAME [SOURCE | --image IMAGE] [flags] | deploy -f STACK.YML [NAME...]",
		Short: "Make a function of a program or an image, or change one",
		Long: `Make a function of a source or an image. SOURCE is what 'unifaas build' takes: a program that serves HTTP on the port in
$PORT, a script, a folder with unifaas.yaml, a container image. IMAGE is one that the node has, or a reference to one in a registry, which the node
pulls then.

With a SOURCE or an IMAGE the function is exactly what the options say. Without both, the options change a function that
is there, and what they do not name stays as it is.

With -f the functions are those of an OpenFaaS stack file, or those of them that are named; ${VARIABLE:-default} in it is put in. Images come from
registries; a function without one whose handler is a folder with unifaas.yaml is built.

A new revision takes over when one of its instances answers; until then the one before serves every request, and if none does it goes on.
deploy waits for that and fails if the revision does.`,
		Example: `  unifaas deploy hello ./hello
  unifaas deploy hello --image hello:v2 --memory 64M --timeout 5s --env MODE=fast
  unifaas deploy hello ./hello --egress none --egress tcp/db.example.com:5432
  unifaas deploy orders function.zip --handler app.handler
  unifaas deploy hello --max 10              # change one thing and keep the rest
  unifaas deploy -f stack.yml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.stack != "" {
				return o.checkStack(cmd)
			}
			return cobra.RangeArgs(1, 2)(cmd, args)
		},
		ValidArgsFunction: o.completeArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.stack != "" {
				return o.deployStack(cmd, args)
			}
			if err := o.parse(cmd, args); err != nil {
				return &usageError{err}
			}
			return o.deploy(cmd.Context(), cmd.OutOrStdout(), args)
		},
	}
	o.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.stack, "file", "f", "", "OpenFaaS stack `FILE` with the functions to deploy")
	f.StringVar(&o.image, "image", "", "`IMAGE` in the node's store, by name or digest, or in a registry")
	f.StringVar(&o.request.Pull, "pull", "", "when a registry is asked for the image: always, missing, never (default for what is not here, and for tags that were pulled before)")
	f.BoolVar(&o.noWait, "no-wait", false, "do not wait until the new revision answers")
	return cmd
}

// deploy does what the options say, with a name and perhaps a source.
func (o *deployFlags) deploy(ctx context.Context, out io.Writer, args []string) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	if len(args) == 2 {
		if err := o.upload(ctx, c, args[0], args[1]); err != nil {
			return err
		}
	}
	r, err := c.Deploy(ctx, args[0], o.request)
	if err != nil {
		return err
	}
	what := "unchanged"
	switch {
	case r.Created:
		what = "deployed"
	case r.Changed:
		what = "changed"
	}
	if !o.noWait {
		if r.Wanted, err = c.AwaitServed(ctx, r.Function.Name, r.Wanted.Number); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "%s: %s, revision %s, at %s%s\n", r.Function.Name, what, r.Wanted.Name, r.Function.URL, stillPending(r.Wanted))
	return err
}

// add has the options that say how a function runs, and where.
func (o *deployFlags) add(cmd *cobra.Command) {
	o.gatewayFlag.add(cmd)
	f := cmd.Flags()
	o.build.add(f)
	f.StringVar(&o.request.Contract, "contract", "", "how the program is called: http, a program that serves HTTP on $PORT, stdio, one that is run for each request, or lambda, one for AWS (default: what the image says, or http)")
	f.StringVar(&o.request.Isolation, "isolation", "", "between invocations: reuse, rewind for the state after initialisation each time, or fresh for a new instance each (default reuse)")
	f.StringVar(&o.memory, "memory", "", "memory of an instance, 16M to 16G (default "+units.FormatBytes(control.DefaultMemory)+")")
	f.StringVar(&o.timeout, "timeout", "", "time limit of an invocation (default "+units.FormatDuration(control.DefaultTimeout)+")")
	o.serving.add(f)
	f.StringArrayVarP(&o.env, "env", "e", nil, "environment variable `K=V` of the program; may be repeated")
	f.StringArrayVar(&o.egress, "egress", nil, "where the program may connect to: public, none, all, or an address, prefix or name `RULE`; may be repeated (default public)")
	f.IntVar(&o.min, "min", 0, "instances kept when idle")
	f.IntVar(&o.max, "max", control.DefaultMax, "instances made under load")
	f.IntVar(&o.queue, "queue", 0, "invocations that may wait for an instance before further ones get 429; 0: as 'unifaas up --queue' says")
	f.IntVar(&o.weight, "weight", node.DefaultWeight, "share of the CPUs and of a full node beside other functions")
	f.StringVar(&o.cpu, "cpu", "", "part of a `CPU` that an instance may use, like 0.5 or 500m (default a whole one)")
	f.IntVar(&o.concurrency, "concurrency", control.DefaultConcurrency, "invocations at once in one instance; 0: no limit")
	f.BoolVar(&o.readOnly, "read-only", false, "the program writes below /tmp only")
	f.StringArrayVar(&o.secrets, "secret", nil, "secret `NAME` that the program finds as a file in /var/openfaas/secrets and /run/secrets; may be repeated")
}

// stillPending is what is said of a revision that nobody waits for.
func stillPending(r api.Revision) string {
	if r.State != control.Pending {
		return ""
	}
	return " (when it answers)"
}

func (o *deployFlags) completeArgs(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 {
		return nil, cobra.ShellCompDirectiveDefault // a file
	}
	return o.complete(false)(cmd, args, prefix)
}

// parse makes a request of the options that were given.
func (o *deployFlags) parse(cmd *cobra.Command, args []string) error {
	given := cmd.Flags().Changed
	q := &o.request
	if err := control.CheckName(args[0]); err != nil {
		return err
	}
	q.Secrets = o.secrets
	if given("read-only") {
		q.ReadOnly = &o.readOnly
	}
	if len(args) == 2 && o.image != "" {
		return fmt.Errorf("give SOURCE or --image, not both")
	}
	q.Image = o.image
	if o.build.contract = q.Contract; len(args) < 2 && (o.build.handler != "" || o.build.runtime != "") {
		return fmt.Errorf("--handler and --runtime are about a SOURCE: give it")
	}
	if given("memory") {
		n, err := units.ParseBytes(o.memory)
		if err != nil {
			return fmt.Errorf("--memory: %w", err)
		}
		q.Memory = &n
	}
	if given("timeout") {
		t, err := units.ParseDuration(o.timeout)
		if err != nil {
			return fmt.Errorf("--timeout: %w", err)
		}
		ms := int64((t + time.Millisecond - 1) / time.Millisecond) // rounded up: what is refused is not called 0
		q.TimeoutMS = &ms
	}
	if given("cpu") {
		n, err := control.ParseCPU(o.cpu)
		if err != nil {
			return fmt.Errorf("--cpu: %w", err)
		}
		q.CPU = &n
	}
	if err := o.serving.parse(given, q); err != nil {
		return err
	}
	if given("egress") {
		if _, err := egress.Parse(o.egress); err != nil {
			return fmt.Errorf("--egress: %w", err)
		}
		q.Egress = o.egress
	}
	if given("env") {
		q.Env = map[string]string{}
		for _, kv := range o.env {
			k, v, ok := strings.Cut(kv, "=")
			if !ok || k == "" {
				return fmt.Errorf("--env: %q is not of the form K=V", kv)
			}
			q.Env[k] = v
		}
	}
	for name, n := range map[string]struct{ from, to any }{"min": {&o.min, &q.Min}, "max": {&o.max, &q.Max}, "concurrency": {&o.concurrency, &q.Concurrency},
		"queue": {&o.queue, &q.Queue}, "weight": {&o.weight, &q.Weight}} {
		if given(name) {
			*n.to.(**int) = n.from.(*int)
		}
	}
	return nil
}

// upload makes an image of a source of this machine, names it after the function, and sends what the node lacks of it.
func (o *deployFlags) upload(ctx context.Context, c *client.Client, function, source string) error {
	opts, err := o.build.options()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "unifaas-deploy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := image.OpenStore(dir)
	if err != nil {
		return err
	}
	m, err := build.Image(ctx, store, source, "", opts)
	if err != nil {
		return err
	}
	name := function
	if image.CheckName(name) != nil {
		name = ""
	}
	img, err := c.Push(ctx, store, m, name, func(size int64, r io.Reader) io.ReadCloser {
		return showProgress(os.Stderr, "upload "+filepath.Base(source), size, r)
	})
	if err != nil {
		return err
	}
	o.request.Image, o.request.ImageName = img.Digest, name
	return nil
}
