// SPDX-License-Identifier: Apache-2.0

package control

import (
	"maps"
	"slices"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/units"
)

// What a deployment that does not say gets.
const (
	DefaultMemory      = 256 * units.MiB
	DefaultTimeout     = 30 * time.Second
	DefaultConcurrency = 16
	DefaultMax         = 4

	defaultPort = 8080
)

// Deployment is what a user asks for. Fields that are nil or empty are not given: with an Image they get their default,
// without one they stay as they are.
type Deployment struct {
	Name        string
	Image       string // name or digest in the image store, or a reference to an image in a registry
	Pull        string // when a registry is asked: image.PullAlways, …
	ImageName   string // what listings show; empty: Image
	Contract    string
	Isolation   string
	Memory      *int64
	Timeout     *time.Duration
	Concurrency *int // 0: unlimited
	Serving     ServingOptions
	Min, Max    *int
	Queue       *int              // invocations that may wait
	Weight      *int              // share of a full node
	CPU         *int64            // thousandths of a CPU for an instance
	Idle        *time.Duration    // after which instances beyond Min end
	Env         map[string]string // nil: not given
	Egress      []string          // nil: not given
	Secrets     []string          // names; nil: not given
	ReadOnly    *bool             // root file system
	Labels      map[string]string
	Annotations map[string]string
	Requests    map[string]string // told again by listings
	Constraints []string          // told again by listings: the caller has compared them with the node
}

// onto applies d to what is there, or to the defaults.
func (d *Deployment) onto(old *Function) (Config, node.Scale, error) {
	c := Config{Contract: ContractHTTP, Isolation: IsolationReuse, Memory: DefaultMemory, Timeout: DefaultTimeout}
	scale := node.Scale{Max: DefaultMax}
	if d.Image == "" && old != nil {
		c, scale = old.Wanted().Config, old.Scale
		c.Env = maps.Clone(c.Env)
	}
	set(&c.Memory, d.Memory)
	set(&c.Timeout, d.Timeout)
	if set(&c.Concurrency, d.Concurrency); d.Concurrency != nil && c.Concurrency == 0 {
		c.Concurrency = Unlimited
	}
	d.Serving.onto(&c.Serving)
	if d.Contract != "" {
		c.Contract = d.Contract
	}
	if d.Isolation != "" {
		if c.Isolation != d.Isolation && d.Concurrency == nil {
			c.Concurrency = 0 // its default depends on the isolation
		}
		c.Isolation = d.Isolation
	}
	if d.Env != nil {
		c.Env = maps.Clone(d.Env)
	}
	if d.Egress != nil {
		c.Egress = slices.Clone(d.Egress)
	}
	set(&c.ReadOnly, d.ReadOnly)
	if d.Secrets != nil {
		c.Secrets = slices.Compact(slices.Sorted(slices.Values(d.Secrets)))
	}
	if c.Concurrency == 0 && d.Concurrency == nil {
		c.Concurrency = DefaultConcurrency
		if c.Isolation != IsolationReuse {
			c.Concurrency = 1
		}
	}
	// The sandbox's memory comes in units of 2 MiB.
	if rest := c.Memory % (2 * units.MiB); rest > 0 && c.Memory >= MinMemory && c.Memory < MaxMemory {
		c.Memory += 2*units.MiB - rest
	}
	scale, err := d.scaleOf(scale)
	return c, scale, err
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}
