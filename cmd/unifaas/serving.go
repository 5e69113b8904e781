// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/units"
)

// servingFlags are the options of how a program is talked to and ended.
type servingFlags struct {
	protocol, readiness, liveness, startup, grace string
}

func (s *servingFlags) add(f *pflag.FlagSet) {
	f.StringVar(&s.protocol, "protocol", "", "what the program speaks: http1, or h2c, HTTP/2 without TLS (default http1, and h2c for gRPC)")
	f.StringVar(&s.readiness, "readiness", "", "`PATH` that answers 2xx or 3xx when an instance can be invoked (default: it listens)")
	f.StringVar(&s.liveness, "liveness", "", "`PATH` that answers 2xx or 3xx as long as an instance is well; one that does not three times, 10s apart, is ended (default: none)")
	f.StringVar(&s.startup, "startup", "", "time until an instance has to be ready (default "+units.FormatDuration(node.DefaultStartLimit)+")")
	f.StringVar(&s.grace, "grace", "", "time between SIGTERM and the end of an instance (default "+units.FormatDuration(node.DefaultGrace)+")")
}

func (s *servingFlags) parse(given func(string) bool, q *api.DeployRequest) error {
	for _, o := range []struct {
		name string
		from *string
		to   **string
	}{{"protocol", &s.protocol, &q.Protocol}, {"readiness", &s.readiness, &q.Readiness}, {"liveness", &s.liveness, &q.Liveness}} {
		if given(o.name) {
			*o.to = o.from
		}
	}
	for _, o := range []struct {
		name, from string
		to         **int64
	}{{"startup", s.startup, &q.StartupMS}, {"grace", s.grace, &q.GraceMS}} {
		if !given(o.name) {
			continue
		}
		d, err := units.ParseDuration(o.from)
		if err != nil {
			return fmt.Errorf("--%s: %w", o.name, err)
		}
		ms := int64((d + time.Millisecond - 1) / time.Millisecond)
		*o.to = &ms
	}
	return nil
}
