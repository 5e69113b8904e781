// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"github.com/spf13/cobra"

	"unifaas.dev/guest"
	"unifaas.dev/internal/dashboard"
	"unifaas.dev/internal/doctor"
	"unifaas.dev/internal/gateway"
	"unifaas.dev/internal/monitor/kvm"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/nodelog"
	"unifaas.dev/internal/units"
	"unifaas.dev/internal/up"
)

// diagnose is what doctor says, for the dashboard.
func diagnose(data string) (list []dashboard.Check) {
	m := &kvm.Monitor{}
	defer m.Close()
	for _, c := range doctor.Run(doctor.Options{Monitor: m, Libos: guest.Libos(), DataDir: data}).Checks {
		list = append(list, dashboard.Check{Name: c.Name, Status: string(c.Status), Detail: c.Detail, Fix: c.Fix})
	}
	return list
}

// version is what gateways call themselves.
const version = "0.1"

func newUpCmd() *cobra.Command {
	o := up.Options{Version: version, Libos: guest.Libos(), Out: os.Stdout, Err: os.Stderr}
	o.Probe = func() error {
		m := &kvm.Monitor{}
		defer m.Close()
		return m.Probe()
	}
	o.Doctor = diagnose
	var budget string
	cmd := &cobra.Command{
		Use:   "up [flags]",
		Short: "Run a node: gateway, control plane and the instances of functions",
		Long: `Run a node: the gateway that takes requests, the control plane that knows the functions, and the tenders that run their
instances. It runs until SIGTERM or SIGINT; then it finishes what runs (--drain-limit) and leaves no process behind.
What was deployed is kept in the data folder and served again by the next 'unifaas up'.

With --nats it is kept in a NATS server or cluster with JetStream, and nodes that share one have the same functions. They need the
same key for secrets then: set UNIFAAS_MASTER_KEY, 32 random bytes as base64 (head -c 32 /dev/urandom | base64).

Managing a node takes a user name and a password if the data folder has them in auth/basic-auth-user and
auth/basic-auth-password. They are made there when other machines reach the address; on loopback nobody is asked for them unless
they exist. Calling functions takes none.`,
		Example: `  unifaas up
  unifaas up --listen 127.0.0.1:9000 --data ./state
  unifaas up --listen 0.0.0.0:8080 --basic-auth /var/lib/faasd/secrets
  unifaas up --nats nats://10.0.0.1:4222,nats://10.0.0.2:4222,nats://10.0.0.3:4222 --nats-replicas 3`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Budget = -1; budget != "" {
				n, err := units.ParseBytes(budget)
				if err != nil {
					return usagef("--memory-budget: %v", err)
				}
				o.Budget = n
			}
			if err := o.Check(); err != nil {
				return &usageError{err}
			}
			return up.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8080", "`ADDRESS` of the gateway")
	f.StringArrayVar(&o.Domains, "domain", nil, "functions are also at http://NAME.`DOMAIN`/, as at NAME."+gateway.LocalDomain+"; may be repeated")
	f.StringVar(&o.Data, "data", "", "data `FOLDER` (default /var/lib/unifaas for root, else ~/.local/share/unifaas)")
	f.StringVar(&o.Auth, "basic-auth", "", "`FOLDER` with the files basic-auth-user and basic-auth-password (default auth in the data folder)")
	f.StringVar(&o.Monitor, "monitor", "auto", "kind of sandbox: auto, kvm")
	f.StringArrayVar(&o.CallbackAllow, "callback-allow", nil, "let answers of asynchronous invocations be sent to `RULE`, too, like 10.0.0.0/8:443 (default public; docs/egress.md); may be repeated")
	f.StringVar(&o.NATS, "nats", "", "`URL` of a NATS server or cluster to keep state in (default: in the data folder)")
	f.StringVar(&o.NATSCredentials, "nats-creds", "", "`FILE` with credentials for --nats")
	f.IntVar(&o.NATSReplicas, "nats-replicas", 1, "`N` copies of everything in the NATS cluster")
	f.DurationVar(&o.Idle, "idle", node.DefaultIdle, "end an instance that is not needed after this `TIME` without a request")
	f.DurationVar(&o.Park, "park-after", node.DefaultPark, "keep only what differs from its snapshot of an instance after this `TIME` without a request; 0: never")
	f.StringVar(&budget, "memory-budget", "", "what instances, snapshots and parked instances may take of the memory, like 16G; 0: all (default three quarters)")
	f.IntVar(&o.Instances, "max-instances", 0, "instances of all functions that run at once, parked ones not counted; 0: as memory allows")
	f.IntVar(&o.Inflight, "max-inflight", node.DefaultInflight, "invocations at once, those that wait among them; further ones get 429")
	f.IntVar(&o.Queue, "queue", node.DefaultQueue, "invocations that may wait for one function, unless it says so itself; further ones get 429")
	f.IntVar(&o.Starts, "max-starts", 0, "instances that are started at once (default two for each CPU)")
	f.StringVar(&o.AccessLog, "access-log", "", "write a line of JSON for each invocation to this `FILE`, opened again at SIGHUP; - for standard output")
	f.StringVar(&o.LogForm, "log-format", nodelog.Text, "`FORM` of the node's own log on standard error: text, json")
	f.DurationVar(&o.DrainDelay, "drain-delay", 0, "after a signal to stop, serve requests for this `TIME` while /readyz says no")
	f.DurationVar(&o.Drain, "drain-limit", up.DefaultDrain, "then give what runs this `TIME` to end")
	f.StringVar(&o.Runtime, "runtime", "", "")
	f.MarkHidden("runtime") // process-plain, for measurements
	return cmd
}
