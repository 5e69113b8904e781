// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/units"
)

// namespace is the one that there is.
const namespace = "default"

// Annotations that carry what OpenFaaS has no field for, and the labels it has for scaling.
const (
	annotationTimeout     = "unifaas.dev/timeout"
	annotationConcurrency = "unifaas.dev/concurrency"
	annotationEgress      = "unifaas.dev/egress" // rules, spaces or commas between them
	annotationIsolation   = "unifaas.dev/isolation"
	annotationContract    = "unifaas.dev/contract"
	labelMin              = "com.openfaas.scale.min"
	labelMax              = "com.openfaas.scale.max"
)

// deployment is OpenFaaS's FunctionDeployment; with Name for Service and the numbers, FunctionStatus.
type deployment struct {
	Service      string            `json:"service,omitempty"`
	Name         string            `json:"name,omitempty"`
	Image        string            `json:"image"`
	Namespace    string            `json:"namespace,omitempty"`
	EnvProcess   string            `json:"envProcess,omitempty"`
	EnvVars      map[string]string `json:"envVars,omitempty"`
	Constraints  []string          `json:"constraints,omitempty"`
	Secrets      []string          `json:"secrets,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Limits       *resources        `json:"limits,omitempty"`
	Requests     *resources        `json:"requests,omitempty"`
	ReadOnlyRoot bool              `json:"readOnlyRootFilesystem,omitempty"`
}

type resources struct {
	Memory string `json:"memory,omitempty"`
	CPU    string `json:"cpu,omitempty"`
	GPU    string `json:"nvidia.com/gpu,omitempty"`
}

type status struct {
	deployment
	InvocationCount   float64   `json:"invocationCount"`
	Replicas          int       `json:"replicas"`
	AvailableReplicas int       `json:"availableReplicas"`
	CreatedAt         time.Time `json:"createdAt"`
	Usage             *usage    `json:"usage,omitempty"`
}

type usage struct {
	CPU         float64 `json:"cpu"` // seconds
	TotalMemory float64 `json:"totalMemoryBytes"`
}

func (g *Gateway) routeOpenFaaS() {
	g.system.HandleFunc("GET /system/functions", g.ofList)
	g.system.HandleFunc("POST /system/functions", g.ofDeploy)
	g.system.HandleFunc("PUT /system/functions", g.ofDeploy)
	g.system.HandleFunc("DELETE /system/functions", g.ofDelete)
	g.system.HandleFunc("GET /system/function/{name}", g.ofStatus)
	g.system.HandleFunc("POST /system/scale-function/{name}", g.ofScale)
	g.system.HandleFunc("GET /system/info", g.ofInfo)
	g.system.HandleFunc("GET /system/logs", g.logs)
	g.system.HandleFunc("GET /system/namespaces", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, []string{namespace}) })
	g.system.HandleFunc("GET /system/secrets", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, []string{}) })
	g.system.HandleFunc("/system/secrets", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotImplemented, "secrets are not supported in this version")
	})
}

// inNamespace refuses other namespaces; it has answered when it returns false.
func inNamespace(w http.ResponseWriter, names ...string) bool {
	for _, n := range names {
		if n != "" && n != namespace {
			fail(w, http.StatusBadRequest, "namespace %q: there is only %s in this version", n, namespace)
			return false
		}
	}
	return true
}

func (g *Gateway) ofList(w http.ResponseWriter, r *http.Request) {
	if !inNamespace(w, r.URL.Query().Get("namespace")) {
		return
	}
	list := []status{}
	for _, f := range g.control.List() {
		list = append(list, g.status(f))
	}
	reply(w, http.StatusOK, list)
}

func (g *Gateway) status(f *control.Function) status {
	n, c := g.control.Status(f.Name), f.Current()
	return status{
		deployment: deployment{
			Name: f.Name, Image: c.ImageName, Namespace: namespace, EnvVars: c.Env, Labels: f.Labels, Annotations: f.Annotations,
			Limits: &resources{Memory: units.FormatBytes(c.Memory)},
		},
		InvocationCount: float64(n.Stats.Invocations), CreatedAt: f.Created,
		// A function without instances is available all the same: the first invocation makes one.
		Replicas: max(n.Ready+n.Booting+n.Parked, f.Scale.Min), AvailableReplicas: max(n.Ready+n.Parked, min(1, f.Scale.Max)),
	}
}

func (g *Gateway) ofStatus(w http.ResponseWriter, r *http.Request) {
	name, query := r.PathValue("name"), r.URL.Query()
	if !inNamespace(w, query.Get("namespace")) {
		return
	}
	f, err := g.control.Get(name)
	if err != nil {
		failWith(w, name, err)
		return
	}
	s := g.status(f)
	if query.Get("usage") == "1" || query.Get("usage") == "true" {
		s.Usage = &usage{}
		for _, i := range g.control.SomeInstances(r.Context(), name, true, describedParked) {
			s.Usage.CPU += i.Usage.CPU.Seconds()
			s.Usage.TotalMemory += float64(i.Usage.Memory)
		}
	}
	reply(w, http.StatusOK, s)
}

func (g *Gateway) ofDeploy(w http.ResponseWriter, r *http.Request) {
	var q deployment
	if !read(w, r, &q) || !inNamespace(w, q.Namespace) {
		return
	}
	d, err := q.toControl()
	if err != nil {
		fail(w, http.StatusBadRequest, "function %s: %v", q.Service, err)
		return
	}
	if r.Method == http.MethodPut {
		if _, err := g.control.Get(d.Name); err != nil {
			failWith(w, d.Name, err) // faas-cli then sends it as POST
			return
		}
	}
	if _, _, err := g.control.Deploy(r.Context(), d); err != nil {
		failWith(w, d.Name, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// toControl refuses what a function would wrongly believe to have.
func (q *deployment) toControl() (control.Deployment, error) {
	d := control.Deployment{Name: q.Service, Image: q.Image, Env: q.EnvVars, Labels: q.Labels, Annotations: q.Annotations}
	switch {
	case q.Image == "":
		return d, fmt.Errorf("image is missing")
	case len(q.Secrets) > 0:
		return d, fmt.Errorf("secrets are not supported in this version")
	case len(q.Constraints) > 0:
		return d, fmt.Errorf("constraints are not supported in this version")
	case q.ReadOnlyRoot:
		return d, fmt.Errorf("readOnlyRootFilesystem is not supported in this version")
	case q.Limits != nil && q.Limits.GPU != "", q.Requests != nil && q.Requests.GPU != "":
		return d, fmt.Errorf("GPUs are not supported in this version")
	}
	if d.Env == nil {
		d.Env = map[string]string{}
	}
	if q.EnvProcess != "" {
		d.Env["fprocess"] = q.EnvProcess
	}
	if q.Limits != nil && q.Limits.Memory != "" {
		n, err := units.ParseBytes(q.Limits.Memory)
		if err != nil {
			return d, fmt.Errorf("limits.memory: %w", err)
		}
		d.Memory = &n
	}
	if s := q.Annotations[annotationTimeout]; s != "" {
		t, err := units.ParseDuration(s)
		if err != nil {
			return d, fmt.Errorf("%s: %w", annotationTimeout, err)
		}
		d.Timeout = &t
	}
	d.Isolation, d.Contract = q.Annotations[annotationIsolation], q.Annotations[annotationContract]
	if s, ok := q.Annotations[annotationEgress]; ok {
		d.Egress = strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })
	}
	for _, n := range []struct {
		where map[string]string
		key   string
		to    **int
	}{{q.Annotations, annotationConcurrency, &d.Concurrency}, {q.Labels, labelMin, &d.Min}, {q.Labels, labelMax, &d.Max}} {
		if s := n.where[n.key]; s != "" {
			v, err := strconv.Atoi(s)
			if err != nil {
				return d, fmt.Errorf("%s %q is not a number", n.key, s)
			}
			*n.to = &v
		}
	}
	return d, nil
}

func (g *Gateway) ofDelete(w http.ResponseWriter, r *http.Request) {
	var q struct {
		FunctionName string `json:"functionName"`
		Namespace    string `json:"namespace"`
	}
	if !read(w, r, &q) || !inNamespace(w, q.Namespace) {
		return
	}
	if q.FunctionName == "" {
		fail(w, http.StatusBadRequest, "functionName is missing")
		return
	}
	if err := g.control.Remove(r.Context(), q.FunctionName); err != nil {
		failWith(w, q.FunctionName, err)
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
	if !read(w, r, &q) || !inNamespace(w, q.Namespace, r.URL.Query().Get("namespace")) {
		return
	}
	if q.Replicas == nil {
		fail(w, http.StatusBadRequest, "replicas is missing")
		return
	}
	n, err := strconv.Atoi(q.Replicas.String())
	if err != nil {
		fail(w, http.StatusBadRequest, "replicas %q is not a number", q.Replicas.String())
		return
	}
	name := r.PathValue("name")
	if _, err := g.control.SetScale(r.Context(), name, n); err != nil {
		failWith(w, name, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
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
