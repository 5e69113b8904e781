// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/gateway/api"
)

// memory answers what ps --memory shows.
func (g *Gateway) memory(w http.ResponseWriter, r *http.Request) {
	s := g.control.Memory(r.Context())
	m := api.Memory{Budget: s.Budget, Used: s.Used, Short: s.Short, Snapshots: s.Stored, Disk: s.Disk, Tenders: []api.TenderMemory{}}
	for _, t := range s.Tenders {
		m.Tenders = append(m.Tenders, api.TenderMemory{
			Function: t.Function, Revision: t.Revision, TenderPID: t.PID, Proportional: t.Proportional, Private: t.Private, Running: t.Running,
			Instances: t.Instances, Shells: t.Shells, Parked: t.Parked, ParkedMemory: t.ParkedBytes, Snapshot: t.Snapshot,
		})
	}
	reply(w, http.StatusOK, m)
}

// nodeNumbers are what the node keeps by itself: it is asked at each scrape. It is a prometheus.Collector.
type nodeNumbers struct{ control *control.Control }

// Describe says nothing: which numbers there are is seen when they are collected.
func (nodeNumbers) Describe(chan<- *prometheus.Desc) {}

// Collect asks the node.
func (n nodeNumbers) Collect(to chan<- prometheus.Metric) {
	add := func(kind prometheus.ValueType, name, help string, v float64, labels prometheus.Labels) {
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, labels), kind, v)
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	functions := n.control.List()
	add(gauge, "unifaas_functions", "Functions that are deployed.", float64(len(functions)), nil)
	for _, f := range functions {
		s := n.control.Status(f.Name)
		of := prometheus.Labels{"function": f.Name}
		for state, count := range map[string]int{"ready": s.Ready, "booting": s.Booting, "parked": s.Parked} {
			add(gauge, "unifaas_instances", "Instances by state.", float64(count), prometheus.Labels{"function": f.Name, "state": state})
		}
		add(gauge, "gateway_service_count", "As unifaas_instances, all of a function's.", float64(s.Ready+s.Booting+s.Parked), prometheus.Labels{"function_name": f.Name})
		add(gauge, "unifaas_waiting", "Invocations that wait for an instance.", float64(s.Waiting), of)
		add(counter, "unifaas_invocations_total", "Invocations that are over.", float64(s.Stats.Invocations), of)
		add(counter, "unifaas_cold_total", "Invocations that waited for an instance to be made.", float64(s.Stats.Cold), of)
		add(counter, "unifaas_wakes_total", "Invocations that waited for a parked instance.", float64(s.Stats.Wakes), of)
		add(counter, "unifaas_parks_total", "Instances that were parked.", float64(s.Stats.Parks), of)
		add(counter, "unifaas_crashes_total", "Instances that ended by themselves.", float64(s.Stats.Crashes), of)
		add(counter, "unifaas_timeouts_total", "Invocations that reached their time limit.", float64(s.Stats.Timeouts), of)
		add(counter, "unifaas_refused_total", "Invocations that were refused because too many waited.", float64(s.Stats.Refused), of)
		add(counter, "unifaas_rewinds_total", "Rewinds.", float64(s.Stats.Rewinds), of)
		add(counter, "unifaas_rewind_pages_total", "Pages copied back in rewinds.", float64(s.Stats.RewindPages), of)
		add(counter, "unifaas_rewind_seconds_total", "Time that rewinds took.", s.Stats.RewindTime.Seconds(), of)
	}
	n.collectMemory(add)
}

// measureLimit bounds how long a scrape waits for instances to say what they take.
const measureLimit = 2 * time.Second

func (n nodeNumbers) collectMemory(add func(kind prometheus.ValueType, name, help string, v float64, labels prometheus.Labels)) {
	const gauge = prometheus.GaugeValue
	ctx, cancel := context.WithTimeout(context.Background(), measureLimit)
	defer cancel()
	m := n.control.Memory(ctx)
	for _, t := range m.Tenders {
		of := func(what string) prometheus.Labels {
			l := prometheus.Labels{"function": t.Function, "revision": t.Revision}
			if what != "" {
				l["of"] = what
			}
			return l
		}
		for what, bytes := range map[string]int64{"instances": t.Instances, "tender": t.Private, "tender_pss": t.Proportional, "parked": t.ParkedBytes, "snapshot": t.Snapshot} {
			add(gauge, "unifaas_memory_bytes", "Memory by revision: of instances, of the tender with its shells, of parked instances, of the snapshot.", float64(bytes), of(what))
		}
		add(gauge, "unifaas_shells", "Shells that stand ready.", float64(t.Shells), of(""))
		up := 0.0
		if t.PID != 0 {
			up = 1
		}
		add(gauge, "unifaas_tenders", "Tender processes.", up, of(""))
	}
	add(gauge, "unifaas_memory_used_bytes", "Memory of all instances, shells, parked instances and snapshots.", float64(m.Used), nil)
	add(gauge, "unifaas_memory_budget_bytes", "What they may take; 0 is no limit.", float64(m.Budget), nil)
	short := 0.0
	if m.Short {
		short = 1
	}
	add(gauge, "unifaas_memory_short", "1 while memory is being given back.", short, nil)
	add(gauge, "unifaas_snapshots_disk_bytes", "Snapshots on disk.", float64(m.Disk), nil)
	add(gauge, "unifaas_snapshots_stored", "Snapshots on disk, how many.", float64(m.Stored), nil)
}
