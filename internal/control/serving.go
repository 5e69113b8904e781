// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/units"
)

// Unlimited is a concurrency: one instance takes whatever comes. Users write 0.
const Unlimited = 1 << 30

// Annotations by which a deployment says how a program is talked to and ended; the others are OpenFaaS's.
const (
	AnnotationProtocol  = "unifaas.dev/protocol"
	AnnotationReadiness = "unifaas.dev/readiness"
	AnnotationLiveness  = "unifaas.dev/liveness"
	AnnotationStartup   = "unifaas.dev/startup"
	AnnotationGrace     = "unifaas.dev/grace"

	annotationOpenFaaSReady  = "com.openfaas.ready.http.path"
	annotationOpenFaaSHealth = "com.openfaas.health.http.path"
)

// Limits of Serving.
const (
	maxStartup = 10 * time.Minute
	maxGrace   = 10 * time.Minute
	maxProbe   = 1024 // bytes of a path
)

// ServingOptions are what a deployment says of node.Serving; nil is not given.
type ServingOptions struct {
	Protocol  *string // empty: the default
	Readiness *string // empty: none
	Liveness  *string // empty: none
	Startup   *time.Duration
	Grace     *time.Duration
}

func (o *ServingOptions) onto(s *node.Serving) {
	set(&s.Protocol, o.Protocol)
	set(&s.Readiness, o.Readiness)
	set(&s.Liveness, o.Liveness)
	set(&s.Startup, o.Startup)
	set(&s.Grace, o.Grace)
}

// ServingOf reads what annotations say.
func ServingOf(annotations map[string]string) (o ServingOptions, err error) {
	for _, a := range []struct {
		key string
		to  **string
	}{
		{annotationOpenFaaSReady, &o.Readiness}, {annotationOpenFaaSHealth, &o.Liveness}, // ours win
		{AnnotationProtocol, &o.Protocol}, {AnnotationReadiness, &o.Readiness}, {AnnotationLiveness, &o.Liveness},
	} {
		if v, ok := annotations[a.key]; ok {
			*a.to = &v
		}
	}
	for key, to := range map[string]**time.Duration{AnnotationStartup: &o.Startup, AnnotationGrace: &o.Grace} {
		if v, ok := annotations[key]; ok {
			d, err := units.ParseDuration(v)
			if err != nil {
				return o, fmt.Errorf("%s: %w", key, err)
			}
			*to = &d
		}
	}
	return o, nil
}

// checkServing says in one line what is wrong with a configuration's Serving.
func checkServing(c Config) error {
	s := c.Serving
	switch s.Protocol {
	case "", node.ProtocolHTTP1, node.ProtocolH2C:
	default:
		return invalid("protocol %q: use %s or %s", clip(s.Protocol), node.ProtocolHTTP1, node.ProtocolH2C)
	}
	if c.Contract == ContractStdio && (s.Protocol != "" || s.Readiness != "" || s.Liveness != "") {
		return invalid("contract %s: a program that is run once a request has no protocol and no probes", c.Contract)
	}
	if c.Contract == ContractLambda && (s.Protocol != "" || s.Readiness != "" || s.Liveness != "") {
		return invalid("contract %s: a function that gets events has no protocol and no probes", c.Contract)
	}
	for what, path := range map[string]string{"readiness": s.Readiness, "liveness": s.Liveness} {
		if path == "" {
			continue
		}
		if u, err := url.ParseRequestURI(path); err != nil || !strings.HasPrefix(path, "/") || u.Host != "" || len(path) > maxProbe {
			return invalid("%s probe %q: give a path, like /healthz", what, clip(path))
		}
	}
	switch {
	case s.Startup < 0 || s.Startup > maxStartup:
		return invalid("startup %s: choose at most %s", units.FormatDuration(s.Startup), units.FormatDuration(maxStartup))
	case s.Grace < 0 || s.Grace > maxGrace:
		return invalid("grace %s: choose at most %s", units.FormatDuration(s.Grace), units.FormatDuration(maxGrace))
	}
	return nil
}
