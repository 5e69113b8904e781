// SPDX-License-Identifier: Apache-2.0

// Package metrics counts what a node does and shows it to Prometheus. It is where numbers meet names and labels: what they
// mean is the business of those who count, how long they are kept and drawn is that of whoever scrapes.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"unifaas.dev/internal/node"
)

const (
	scrapesAtOnce = 4
	scrapeLimit   = 10 * time.Second
)

// requestBuckets are the bounds of durations of requests, in seconds: from a warm function in C to one that computes for minutes.
func requestBuckets() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
}

// startBuckets are those of making instances, and of the parts of that.
func startBuckets() []float64 {
	return []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}
}

// Metrics are a node's numbers. It is a node.Observer.
type Metrics struct {
	registry  *prometheus.Registry
	functions *functions
	parts     *prometheus.HistogramVec
	unknown   prometheus.Counter
	handler   http.Handler
}

var _ node.Observer = (*Metrics)(nil)

// New makes a registry of its own: nothing of it is shared with other nodes of the process, as tests have them.
func New(version, runtime string) *Metrics {
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		functions: newFunctions(),
		parts: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "unifaas_start_part_seconds", Buckets: startBuckets(),
			Help: "What making an instance consisted of: tender process, sandbox (vm), snapshot put in (state), library OS, program."}, []string{"origin", "part"}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{Name: "unifaas_unknown_requests_total", Help: "Requests for functions that are not deployed."}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "unifaas_info", Help: "What this node is; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "runtime": runtime}})
	info.Set(1)
	m.registry.MustRegister(m.functions, m.parts, m.unknown, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError, // the rest of the numbers is worth having
		MaxRequestsInFlight: scrapesAtOnce,            // anybody may ask, and looking costs something
		Timeout:             scrapeLimit,
	})
	return m
}

// ServeHTTP answers a scrape.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// Register adds numbers that somebody else keeps.
func (m *Metrics) Register(c prometheus.Collector) error { return m.registry.Register(c) }

// Unknown counts a request for a function that is not deployed. It has no label: names that callers make up are no series.
func (m *Metrics) Unknown() { m.unknown.Inc() }

// Made is told of each instance that was started or woken.
func (m *Metrics) Made(function, origin string, p node.Parts) {
	m.Function(function).made(origin, p.Total)
	for part, d := range map[string]time.Duration{"tender": p.Tender, "vm": p.VM, "state": p.State, "libos": p.Libos, "program": p.Program} {
		m.parts.WithLabelValues(origin, part).Observe(d.Seconds())
	}
}

// Ended is told of each instance that has ended, and how.
func (m *Metrics) Ended(function, kind string) { m.Function(function).ended(kind) }

// Forgotten is told of a function that is not served any more.
func (m *Metrics) Forgotten(function string) { m.functions.forget(function) }
