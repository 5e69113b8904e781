// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
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

// metrics are in the text form of Prometheus.
func (g *Gateway) metrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	p := &metricsPage{w: w}
	var all []node.FunctionStatus
	var labels []string
	for _, f := range g.control.List() {
		all = append(all, g.control.Status(f.Name))
		labels = append(labels, label("function", f.Name))
	}
	each := func(name, kind, help string, value func(s node.FunctionStatus) float64) {
		p.head(name, kind, help)
		for n, s := range all {
			p.value(name, labels[n], value(s))
		}
	}
	p.head("unifaas_instances", "gauge", "Instances by state.")
	for n, s := range all {
		p.value("unifaas_instances", labels[n]+`,state="ready"`, float64(s.Ready))
		p.value("unifaas_instances", labels[n]+`,state="booting"`, float64(s.Booting))
		p.value("unifaas_instances", labels[n]+`,state="parked"`, float64(s.Parked))
	}
	each("unifaas_waiting", "gauge", "Invocations that wait for an instance.", func(s node.FunctionStatus) float64 { return float64(s.Waiting) })
	each("unifaas_invocations_total", "counter", "Invocations that are over.", func(s node.FunctionStatus) float64 { return float64(s.Stats.Invocations) })
	each("unifaas_cold_total", "counter", "Invocations that waited for an instance to be made.", func(s node.FunctionStatus) float64 { return float64(s.Stats.Cold) })
	each("unifaas_wakes_total", "counter", "Invocations that waited for a parked instance.", func(s node.FunctionStatus) float64 { return float64(s.Stats.Wakes) })
	each("unifaas_crashes_total", "counter", "Instances that ended by themselves.", func(s node.FunctionStatus) float64 { return float64(s.Stats.Crashes) })
	each("unifaas_timeouts_total", "counter", "Invocations that reached their time limit.", func(s node.FunctionStatus) float64 { return float64(s.Stats.Timeouts) })
	each("unifaas_refused_total", "counter", "Invocations that were refused because too many waited.", func(s node.FunctionStatus) float64 { return float64(s.Stats.Refused) })
	each("unifaas_rewinds_total", "counter", "Rewinds.", func(s node.FunctionStatus) float64 { return float64(s.Stats.Rewinds) })
	each("unifaas_rewind_pages_total", "counter", "Pages copied back in rewinds.", func(s node.FunctionStatus) float64 { return float64(s.Stats.RewindPages) })
	each("unifaas_rewind_seconds_total", "counter", "Time that rewinds took.", func(s node.FunctionStatus) float64 { return s.Stats.RewindTime.Seconds() })

	m := g.control.Memory(r.Context())
	p.head("unifaas_memory_bytes", "gauge", "Memory by revision: of instances, of the tender with its shells, of parked instances, of the snapshot.")
	for _, t := range m.Tenders {
		l := label("function", t.Function) + "," + label("revision", t.Revision)
		p.value("unifaas_memory_bytes", l+`,of="instances"`, float64(t.Instances))
		p.value("unifaas_memory_bytes", l+`,of="tender"`, float64(t.Private))
		p.value("unifaas_memory_bytes", l+`,of="tender_pss"`, float64(t.Proportional))
		p.value("unifaas_memory_bytes", l+`,of="parked"`, float64(t.ParkedBytes))
		p.value("unifaas_memory_bytes", l+`,of="snapshot"`, float64(t.Snapshot))
	}
	p.head("unifaas_shells", "gauge", "Shells that stand ready.")
	for _, t := range m.Tenders {
		p.value("unifaas_shells", label("function", t.Function)+","+label("revision", t.Revision), float64(t.Shells))
	}
	p.head("unifaas_memory_used_bytes", "gauge", "Memory of all instances, shells, parked instances and snapshots.")
	p.value("unifaas_memory_used_bytes", "", float64(m.Used))
	p.head("unifaas_memory_budget_bytes", "gauge", "What they may take; 0 is no limit.")
	p.value("unifaas_memory_budget_bytes", "", float64(m.Budget))
	p.head("unifaas_snapshots_disk_bytes", "gauge", "Snapshots on disk.")
	p.value("unifaas_snapshots_disk_bytes", "", float64(m.Disk))
}

type metricsPage struct{ w io.Writer }

func (p *metricsPage) head(name, kind, help string) {
	fmt.Fprintf(p.w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (p *metricsPage) value(name, labels string, v float64) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	fmt.Fprintf(p.w, "%s%s %v\n", name, labels, v)
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func label(name, value string) string { return name + `="` + escapeLabel.Replace(value) + `"` }
