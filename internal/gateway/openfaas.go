// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/units"
)

// Annotations that carry what OpenFaaS has no field for, and the labels it has for scaling.
const (
	annotationTimeout     = "unifaas.dev/timeout"
	annotationConcurrency = "unifaas.dev/concurrency"
	annotationEgress      = "unifaas.dev/egress" // rules, spaces or commas between them
	annotationIsolation   = "unifaas.dev/isolation"
	annotationContract    = "unifaas.dev/contract"
	annotationPull        = "unifaas.dev/pull"

	envProcess = "fprocess" // what a watchdog runs
)

// routeOpenFaaS is the provider and gateway interface of OpenFaaS, as its tools use it. It has a mux of its own, which knows which methods a
// path has.
func (g *Gateway) routeOpenFaaS() {
	m := http.NewServeMux()
	m.HandleFunc("GET /system/functions", g.ofList)
	m.HandleFunc("POST /system/functions", g.ofDeploy)
	m.HandleFunc("PUT /system/functions", g.ofDeploy)
	m.HandleFunc("DELETE /system/functions", g.ofDelete)
	m.HandleFunc("GET /system/function/{name}", g.ofStatus)
	m.HandleFunc("POST /system/scale-function/{name}", g.ofScale)
	m.HandleFunc("GET /system/info", g.ofInfo)
	m.HandleFunc("GET /system/logs", g.logs)
	m.HandleFunc("POST /system/alert", g.ofAlert)
	g.routeNamespaces(m)
	g.routeSecrets(m)
	g.system.HandleFunc("/system/", func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := m.Handler(r); pattern != "" {
			m.ServeHTTP(w, r)
			return
		}
		// The mux answers in plain text, and knows whether it is the path or the method.
		probe := &statusOnly{h: http.Header{}}
		m.ServeHTTP(probe, r)
		if probe.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", probe.h.Get("Allow"))
			fail(w, http.StatusMethodNotAllowed, "%s has no method %.20q: use %s", r.URL.Path, r.Method, probe.h.Get("Allow"))
			return
		}
		fail(w, http.StatusNotFound, "nothing at %.200q", r.URL.Path)
	})
}

// statusOnly is an answer that nobody gets.
type statusOnly struct {
	h      http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.h }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }

// find gives the function that a name and a namespace mean; with no namespace the name may have one.
func (g *Gateway) find(name, namespace string) (*control.Function, error) {
	if namespace == "" {
		return g.control.Resolve(name)
	}
	f, err := g.control.Get(control.JoinName(name, namespace))
	if err != nil {
		f, err = g.control.Get(control.JoinName(strings.TrimSuffix(name, "."+namespace), namespace))
	}
	if err != nil {
		return nil, err
	}
	if _, in := g.control.SplitName(f.Name); in != namespace {
		return nil, control.ErrNotFound
	}
	return f, nil
}

// shown is what a function is called in answers about errors.
func shown(name, namespace string) string {
	return fmt.Sprintf("%.80s", control.JoinName(name, namespace))
}

func (g *Gateway) ofList(w http.ResponseWriter, r *http.Request) {
	ns, ok := g.namespace(w, r.URL.Query().Get("namespace"))
	if !ok {
		return
	}
	list := []api.FunctionStatus{}
	for _, f := range g.control.In(ns) {
		list = append(list, g.status(f))
	}
	reply(w, http.StatusOK, list)
}

func (g *Gateway) status(f *control.Function) api.FunctionStatus {
	n, c := g.control.Status(f.Name), f.Current()
	name, ns := g.control.SplitName(f.Name)
	s := api.FunctionStatus{
		FunctionDeployment: api.FunctionDeployment{
			Name: name, Image: c.ImageName, Namespace: ns, EnvVars: c.Env, EnvProcess: c.Env[envProcess], Labels: f.Labels, Annotations: f.Annotations,
			Limits: &api.FunctionResources{Memory: units.FormatBytes(c.Memory)}, Constraints: f.Constraints, Secrets: c.Secrets, ReadOnlyRoot: c.ReadOnly,
		},
		InvocationCount: float64(n.Stats.Invocations), CreatedAt: f.Created,
		// A function without instances is available all the same: the first invocation makes one.
		Replicas: max(n.Ready+n.Booting+n.Parked, f.Scale.Min), AvailableReplicas: max(n.Ready+n.Parked, min(1, f.Scale.Max)),
	}
	if f.Scale.CPU > 0 {
		s.Limits.CPU = fmt.Sprintf("%dm", f.Scale.CPU)
	}
	if len(f.Requests) > 0 {
		s.Requests = &api.FunctionResources{Memory: f.Requests["memory"], CPU: f.Requests["cpu"]}
	}
	return s
}

func (g *Gateway) ofStatus(w http.ResponseWriter, r *http.Request) {
	name, query := r.PathValue("name"), r.URL.Query()
	f, err := g.find(name, query.Get("namespace"))
	if err != nil {
		failWith(w, shown(name, query.Get("namespace")), err)
		return
	}
	s := g.status(f)
	if query.Get("usage") == "1" || query.Get("usage") == "true" {
		s.Usage = &api.FunctionUsage{}
		for _, i := range g.control.SomeInstances(r.Context(), f.Name, true, describedParked) {
			s.Usage.CPU += i.Usage.CPU.Seconds()
			s.Usage.TotalMemory += float64(i.Usage.Memory)
		}
	}
	reply(w, http.StatusOK, s)
}

func (g *Gateway) ofDeploy(w http.ResponseWriter, r *http.Request) {
	var q api.FunctionDeployment
	if !read(w, r, &q) {
		return
	}
	if _, ok := g.namespace(w, q.Namespace); !ok {
		return
	}
	d, err := toControl(&q)
	if err != nil {
		fail(w, http.StatusBadRequest, "function %.80s: %v", q.Service, err)
		return
	}
	if _, ns := g.control.SplitName(d.Name); q.Namespace != "" && ns != q.Namespace {
		fail(w, http.StatusBadRequest, "function %.80s: in namespace %s it cannot be called so: there is a namespace %s", q.Service, q.Namespace, ns)
		return
	}
	if r.Method == http.MethodPut {
		if _, err := g.control.Resolve(d.Name); err != nil {
			failWith(w, shown(d.Name, ""), err) // faas-cli then sends it as POST
			return
		}
	}
	if _, _, err := g.control.Deploy(r.Context(), d); err != nil {
		failWith(w, shown(d.Name, ""), err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (g *Gateway) ofDelete(w http.ResponseWriter, r *http.Request) {
	var q struct {
		FunctionName string `json:"functionName"`
		Namespace    string `json:"namespace"`
	}
	if !read(w, r, &q) {
		return
	}
	if q.FunctionName == "" {
		fail(w, http.StatusBadRequest, "functionName is missing")
		return
	}
	ns := cmp.Or(q.Namespace, r.URL.Query().Get("namespace"))
	f, err := g.find(q.FunctionName, ns)
	key := q.FunctionName
	if err == nil {
		key = f.Name
	} else if ns != "" {
		key = control.JoinName(key, ns) // a damaged record is removed all the same
	}
	if err := g.control.Remove(r.Context(), key); err != nil {
		failWith(w, shown(key, ""), err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (g *Gateway) ofScale(w http.ResponseWriter, r *http.Request) {
	var q struct {
		ServiceName string       `json:"serviceName"`
		Replicas    *json.Number `json:"replicas"`
		Namespace   string       `json:"namespace"`
	}
	if !read(w, r, &q) {
		return
	}
	if q.Replicas == nil {
		fail(w, http.StatusBadRequest, "replicas is missing")
		return
	}
	n, err := strconv.Atoi(q.Replicas.String())
	if err != nil {
		fail(w, http.StatusBadRequest, "replicas %.20q is not a number", q.Replicas.String())
		return
	}
	name, ns := r.PathValue("name"), cmp.Or(q.Namespace, r.URL.Query().Get("namespace"))
	f, err := g.find(name, ns)
	if err == nil {
		_, err = g.control.SetScale(r.Context(), f.Name, n)
	}
	if err != nil {
		failWith(w, shown(name, ns), err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// ofAlert takes what Alertmanager sends about a function: while an alert fires it gets more instances, afterwards as few as it may have.
func (g *Gateway) ofAlert(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Status string `json:"status"`
		Alerts []struct {
			Status string            `json:"status"`
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	if !read(w, r, &q) {
		return
	}
	for _, a := range q.Alerts {
		f, err := g.control.Resolve(a.Labels["function_name"])
		if err != nil {
			failWith(w, shown(a.Labels["function_name"], ""), err)
			return
		}
		floor := 1
		if n, err := strconv.Atoi(f.Labels[control.LabelScaleMin]); err == nil {
			floor = n
		}
		want := floor
		if cmp.Or(a.Status, q.Status) == "firing" {
			step := (f.Scale.Max*scaleFactor(f) + 99) / 100
			want = min(f.Scale.Min+step, f.Scale.Max)
		}
		if _, err := g.control.SetScale(r.Context(), f.Name, min(want, f.Scale.Max)); err != nil {
			failWith(w, f.Name, err)
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

// scaleFactor is how much of a function's max an alert adds, in percent.
func scaleFactor(f *control.Function) int {
	if n, err := strconv.Atoi(f.Labels[control.LabelScaleFactor]); err == nil && n >= 0 && n <= 100 {
		return n
	}
	return 20
}

func (g *Gateway) ofInfo(w http.ResponseWriter, _ *http.Request) {
	type version struct {
		Release string `json:"release"`
		SHA     string `json:"sha"`
		Message string `json:"commit_message"`
	}
	type provider struct {
		Provider      string  `json:"provider"`
		Orchestration string  `json:"orchestration"`
		Version       version `json:"version"`
	}
	v := version{Release: g.opts.Version}
	reply(w, http.StatusOK, struct {
		Provider provider `json:"provider"`
		Version  version  `json:"version"`
		Arch     string   `json:"arch"`
	}{provider{"unifaas", g.control.Runtime(), v}, v, arch()})
}
