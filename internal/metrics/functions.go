// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// functions has what is counted by function. It is a collector of its own rather than vectors with labels, so that a request finds all of its
// numbers at once and they all go with the function.
type functions struct {
	all sync.Map // name → *Function

	requests, inflight, seconds, starts, exits *prometheus.Desc
	theirRequests, theirSeconds                *prometheus.Desc // under the names that dashboards for OpenFaaS use
}

// Function is what is counted of one function. All of it may be used at once by many.
type Function struct {
	inflight atomic.Int64
	seconds  prometheus.Histogram

	mu     sync.Mutex
	codes  map[int]uint64
	starts map[string]prometheus.Histogram // by origin
	exits  map[string]uint64               // by kind
}

func newFunctions() *functions {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &functions{
		requests:      desc("unifaas_requests_total", "Requests that are over, by the status that the caller got; 499: the caller left first, 0: the answer broke off.", "function", "code"),
		inflight:      desc("unifaas_requests_in_flight", "Requests that are not over, with those that wait.", "function"),
		seconds:       desc("unifaas_request_seconds", "From a request's arrival until its answer was passed on.", "function"),
		starts:        desc("unifaas_start_seconds", "Making an instance, by what it was made from: boot, snapshot, parked.", "function", "origin"),
		exits:         desc("unifaas_exits_total", "Instances that have ended: exit, signal, oom, fault, killed (by the node), start (never ready), parked.", "function", "kind"),
		theirRequests: desc("gateway_function_invocation_total", "As unifaas_requests_total.", "function_name", "code"),
		theirSeconds:  desc("gateway_functions_seconds", "As unifaas_request_seconds.", "function_name"),
	}
}

// Function gives the numbers of a function.
func (m *Metrics) Function(name string) *Function {
	if f, ok := m.functions.all.Load(name); ok {
		return f.(*Function)
	}
	f, _ := m.functions.all.LoadOrStore(name, &Function{
		seconds: histogram(requestBuckets()), codes: map[int]uint64{}, starts: map[string]prometheus.Histogram{}, exits: map[string]uint64{},
	})
	return f.(*Function)
}

func histogram(buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Buckets: buckets})
}

// Begin counts a request in.
func (f *Function) Begin() { f.inflight.Add(1) }

// End counts it out. code is the status that the caller got, 0 if none or not the whole answer.
func (f *Function) End(code int, took time.Duration) {
	f.inflight.Add(-1)
	f.seconds.Observe(took.Seconds())
	f.mu.Lock()
	f.codes[known(code)]++
	f.mu.Unlock()
}

// known bounds the number of series that a function can make of its answers: of statuses without a name only the hundred counts.
func known(code int) int {
	switch {
	case code == 0 || code == 499 || http.StatusText(code) != "":
		return code
	case code >= 100 && code < 600:
		return code / 100 * 100
	}
	return 999
}

func (f *Function) made(origin string, took time.Duration) {
	f.mu.Lock()
	h := f.starts[origin]
	if h == nil {
		h = histogram(startBuckets())
		f.starts[origin] = h
	}
	f.mu.Unlock()
	h.Observe(took.Seconds())
}

func (f *Function) ended(kind string) {
	f.mu.Lock()
	f.exits[kind]++
	f.mu.Unlock()
}

func (s *functions) forget(name string) { s.all.Delete(name) }

// Describe is prometheus.Collector's.
func (s *functions) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.requests, s.inflight, s.seconds, s.starts, s.exits, s.theirRequests, s.theirSeconds} {
		to <- d
	}
}

// Collect is prometheus.Collector's.
func (s *functions) Collect(to chan<- prometheus.Metric) {
	s.all.Range(func(key, value any) bool {
		name, f := key.(string), value.(*Function)
		f.mu.Lock()
		codes, starts, exits := maps.Clone(f.codes), maps.Clone(f.starts), maps.Clone(f.exits)
		f.mu.Unlock()
		for code, n := range codes {
			text := strconv.Itoa(code)
			to <- prometheus.MustNewConstMetric(s.requests, prometheus.CounterValue, float64(n), name, text)
			to <- prometheus.MustNewConstMetric(s.theirRequests, prometheus.CounterValue, float64(n), name, text)
		}
		for kind, n := range exits {
			to <- prometheus.MustNewConstMetric(s.exits, prometheus.CounterValue, float64(n), name, kind)
		}
		to <- prometheus.MustNewConstMetric(s.inflight, prometheus.GaugeValue, float64(f.inflight.Load()), name)
		copied(to, f.seconds, s.seconds, name)
		copied(to, f.seconds, s.theirSeconds, name)
		for origin, h := range starts {
			copied(to, h, s.starts, name, origin)
		}
		return true
	})
}

// copied shows a histogram under a name and labels.
func copied(to chan<- prometheus.Metric, h prometheus.Histogram, as *prometheus.Desc, labels ...string) {
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		to <- prometheus.NewInvalidMetric(as, err)
		return
	}
	buckets := map[float64]uint64{}
	for _, b := range m.Histogram.Bucket {
		buckets[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	to <- prometheus.MustNewConstHistogram(as, m.Histogram.GetSampleCount(), m.Histogram.GetSampleSum(), buckets, labels...)
}
