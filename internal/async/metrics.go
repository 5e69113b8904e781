// SPDX-License-Identifier: Apache-2.0

package async

import "github.com/prometheus/client_golang/prometheus"

// collector shows queues and counters to Prometheus.
type collector struct {
	q                                          *Queue
	queued, running, callbacks                 *prometheus.Desc
	accepted, done, retried, delivered, buried *prometheus.Desc
}

// Collector gives the queue's numbers as metrics.
func (q *Queue) Collector() prometheus.Collector {
	of := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("unifaas_async_"+name, help, []string{"function"}, nil)
	}
	return &collector{
		q:         q,
		queued:    of("queued", "Asynchronous invocations that are accepted and not done, those that run included."),
		running:   of("running", "Asynchronous invocations that this node executes."),
		callbacks: of("callbacks", "Answers that are not delivered yet."),
		accepted:  of("accepted_total", "Asynchronous invocations that were accepted."),
		done:      of("done_total", "Asynchronous invocations that were answered by their function."),
		retried:   of("retries_total", "Attempts, of invocations and callbacks, that failed and were to be made again."),
		delivered: of("delivered_total", "Answers that a callback took."),
		buried:    of("dead_total", "Invocations and callbacks that became dead letters."),
	}
}

func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.queued, c.running, c.callbacks, c.accepted, c.done, c.retried, c.delivered, c.buried} {
		to <- d
	}
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int, function string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), function)
	}
	for _, s := range c.q.Queues() {
		gauge(c.queued, s.Queued, s.Function)
		gauge(c.running, s.Running, s.Function)
		gauge(c.callbacks, s.Callbacks, s.Function)
	}
	c.q.stats.Range(func(k, v any) bool {
		function, s := k.(string), v.(*Stats)
		count := func(d *prometheus.Desc, n int64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), function)
		}
		count(c.accepted, s.Accepted.Load())
		count(c.done, s.Done.Load())
		count(c.retried, s.Retried.Load())
		count(c.delivered, s.Delivered.Load())
		count(c.buried, s.Dead.Load())
		return true
	})
}

// forgetStats drops the counters of functions that are gone.
func (q *Queue) forgetStats() {
	q.stats.Range(func(k, _ any) bool {
		function := k.(string)
		if _, deployed := q.o.Settings(function); deployed {
			return true
		}
		q.mu.Lock()
		busy := q.lanes[laneKey{kindCall, function}] != nil || q.lanes[laneKey{kindCallback, function}] != nil
		q.mu.Unlock()
		if !busy {
			q.stats.Delete(function)
		}
		return true
	})
}
