// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"context"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/node"
)

// routeOwn is the node's own management interface, the one that the command line uses.
func (g *Gateway) routeOwn() {
	g.system.HandleFunc("GET /unifaas/v1/info", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, g.info()) })
	g.routeImages()
	g.system.HandleFunc("GET /unifaas/v1/functions", g.listFunctions)
	g.system.HandleFunc("GET /unifaas/v1/functions/{name}", g.describe)
	g.system.HandleFunc("PUT /unifaas/v1/functions/{name}", g.deploy)
	g.system.HandleFunc("DELETE /unifaas/v1/functions/{name}", g.remove)
	g.system.HandleFunc("POST /unifaas/v1/functions/{name}/scale", g.scale)
	g.system.HandleFunc("POST /unifaas/v1/functions/{name}/rollback", g.rollback)
	g.system.HandleFunc("GET /unifaas/v1/functions/{name}/revisions/{number}", g.revision)
	g.system.HandleFunc("DELETE /unifaas/v1/functions/{name}/tender", g.dismiss)
	g.system.HandleFunc("POST /unifaas/v1/functions/{name}/park", g.park)
	g.system.HandleFunc("GET /unifaas/v1/instances", g.listInstances)
	g.system.HandleFunc("GET /unifaas/v1/memory", g.memory)
	g.system.HandleFunc("GET /unifaas/v1/logs", g.logs)
}

// key is the key of the function that a path names.
func (g *Gateway) key(r *http.Request) string {
	name := r.PathValue("name")
	if f, err := g.control.Resolve(name); err == nil {
		return f.Name
	}
	return name
}

// listFunctions lists those of all namespaces, or of one.
func (g *Gateway) listFunctions(w http.ResponseWriter, r *http.Request) {
	list, all := []api.Function{}, g.control.List()
	if ns := r.URL.Query().Get("namespace"); ns != "" {
		if _, ok := g.namespace(w, ns); !ok {
			return
		}
		all = g.control.In(ns)
	}
	for _, f := range all {
		list = append(list, g.function(f))
	}
	reply(w, http.StatusOK, list)
}

// describedParked is how many parked instances a description lists; if there are more it only counts them.
const describedParked = 100

func (g *Gateway) describe(w http.ResponseWriter, r *http.Request) {
	name := g.key(r)
	f, err := g.control.Get(name)
	if err != nil {
		failWith(w, name, err)
		return
	}
	d := api.Description{Function: g.function(f), Instances: g.instances(r.Context(), name, describedParked)}
	for _, rev := range slices.Backward(f.Revisions) {
		d.Revisions = append(d.Revisions, revision(f, rev))
	}
	reply(w, http.StatusOK, d)
}

func (g *Gateway) function(f *control.Function) api.Function {
	s := g.control.Status(f.Name)
	_, namespace := g.control.SplitName(f.Name)
	var next *api.Revision
	if w := f.Wanted(); w.Number != f.Current().Number {
		r := revision(f, *w)
		next = &r
	}
	return api.Function{
		Name: f.Name, Namespace: namespace, URL: functionPrefix + f.Name, Created: f.Created, Min: f.Scale.Min, Max: f.Scale.Max,
		Labels: f.Labels, Annotations: f.Annotations, Revision: revision(f, *f.Current()), Next: next,
		Ready: s.Ready, Booting: s.Booting, Parked: s.Parked, Waiting: s.Waiting, Running: s.Running, Wanted: s.Wanted,
		Queue: f.Scale.Queue, Weight: cmp.Or(f.Scale.Weight, node.DefaultWeight), CPU: f.Scale.CPU,
		Invocations: s.Stats.Invocations, Cold: s.Stats.Cold,
		Crashes: s.Stats.Crashes, Timeouts: s.Stats.Timeouts, Refused: s.Stats.Refused,
		Parks: s.Stats.Parks, Wakes: s.Stats.Wakes, ParkedMemory: s.ParkedBytes, Rewinds: s.Stats.Rewinds, RewindPages: s.Stats.RewindPages, RewindUS: s.Stats.RewindTime.Microseconds(), Snapshot: s.Snapshot,
	}
}

func revision(f *control.Function, r control.Revision) api.Revision {
	return api.Revision{
		Name: control.RevisionName(f.Name, r.Number), Number: r.Number, State: r.State, Reason: r.Reason, Served: r.Number == f.Current().Number, Created: r.Created, Image: r.ImageName, Digest: r.Image,
		Contract: r.Contract, Isolation: r.Isolation, Memory: r.Memory, TimeoutMS: r.Timeout.Milliseconds(), Concurrency: r.Concurrency % control.Unlimited, Env: r.Env,
		Egress: egressOf(r.Egress), Secrets: r.Secrets, ReadOnly: r.ReadOnly,
		Protocol: r.Serving.Protocol, Readiness: r.Serving.Readiness, Liveness: r.Serving.Liveness,
		StartupMS: cmp.Or(r.Serving.Startup, node.DefaultStartLimit).Milliseconds(), GraceMS: cmp.Or(r.Serving.Grace, node.DefaultGrace).Milliseconds(),
	}
}

// egressOf spells the default out.
func egressOf(rules []string) []string {
	if len(rules) == 0 {
		return []string{"public"}
	}
	return rules
}

// milliseconds makes a duration of what a request says; what cannot be stays so.
func milliseconds(ms *int64) *time.Duration {
	if ms == nil {
		return nil
	}
	t := time.Duration(max(-1, min(*ms, math.MaxInt64/int64(time.Millisecond)))) * time.Millisecond
	return &t
}

func (g *Gateway) deploy(w http.ResponseWriter, r *http.Request) {
	var q api.DeployRequest
	if !read(w, r, &q) {
		return
	}
	d := control.Deployment{
		Name: g.key(r), Image: q.Image, Pull: q.Pull, ImageName: q.ImageName, Contract: q.Contract, Isolation: q.Isolation, Memory: q.Memory,
		Concurrency: q.Concurrency, Min: q.Min, Max: q.Max, Queue: q.Queue, Weight: q.Weight, CPU: q.CPU, Env: q.Env, Egress: q.Egress, Secrets: q.Secrets, ReadOnly: q.ReadOnly, Labels: q.Labels, Annotations: q.Annotations,
	}
	d.Timeout = milliseconds(q.TimeoutMS)
	d.Serving = control.ServingOptions{Protocol: q.Protocol, Readiness: q.Readiness, Liveness: q.Liveness, Startup: milliseconds(q.StartupMS), Grace: milliseconds(q.GraceMS)}
	before := 0
	if f, err := g.control.Get(d.Name); err == nil {
		before = f.Wanted().Number
	}
	f, created, err := g.control.Deploy(r.Context(), d)
	if err != nil {
		failWith(w, d.Name, err)
		return
	}
	reply(w, http.StatusOK, api.DeployReply{Created: created, Changed: f.Wanted().Number != before, Function: g.function(f), Wanted: revision(f, *f.Wanted())})
}

func (g *Gateway) remove(w http.ResponseWriter, r *http.Request) {
	name := g.key(r)
	if err := g.control.Remove(r.Context(), name); err != nil {
		failWith(w, name, err)
		return
	}
	reply(w, http.StatusOK, struct{}{})
}

// park parks what runs nothing, now.
func (g *Gateway) park(w http.ResponseWriter, r *http.Request) {
	name := g.key(r)
	running, err := g.control.Park(r.Context(), name)
	if err != nil {
		failWith(w, name, err)
		return
	}
	reply(w, http.StatusOK, api.ParkReply{Running: running})
}

// dismiss ends the tender of a function, for measurements of what it costs to have none.
func (g *Gateway) dismiss(w http.ResponseWriter, r *http.Request) {
	name := g.key(r)
	gone, err := g.control.Dismiss(r.Context(), name)
	switch {
	case err != nil:
		failWith(w, name, err)
	case !gone:
		fail(w, http.StatusConflict, "function %s: instances are busy: try again when nothing runs", name)
	default:
		reply(w, http.StatusOK, struct{}{})
	}
}

func (g *Gateway) scale(w http.ResponseWriter, r *http.Request) {
	var q api.ScaleRequest
	if !read(w, r, &q) {
		return
	}
	name := g.key(r)
	f, err := g.control.SetScale(r.Context(), name, q.Instances)
	if err != nil {
		failWith(w, name, err)
		return
	}
	reply(w, http.StatusOK, g.function(f))
}

func (g *Gateway) listInstances(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("function")
	if name != "" {
		if _, err := g.control.Get(name); err != nil {
			failWith(w, name, err)
			return
		}
	}
	parked := math.MaxInt
	if text := r.URL.Query().Get("parked"); text != "" {
		var err error
		if parked, err = strconv.Atoi(text); err != nil {
			fail(w, http.StatusBadRequest, "parked %q is not a number", text)
			return
		}
	}
	reply(w, http.StatusOK, g.instances(r.Context(), name, parked))
}

func (g *Gateway) instances(ctx context.Context, function string, parked int) []api.Instance {
	list := []api.Instance{}
	for _, s := range g.control.SomeInstances(ctx, function, true, parked) {
		list = append(list, api.Instance{
			ID: s.ID, Function: s.Function, Revision: s.Revision, State: s.State, Inflight: s.Inflight, Invocations: s.Invocations,
			Created: s.Created, BootUS: s.Boot.Microseconds(), TenderPID: s.Tender, Memory: s.Usage.Memory, Guest: s.Usage.Guest, Libos: s.Usage.Libos, CPUMS: s.Usage.CPU.Milliseconds(),
			Private: s.Usage.Private,
		})
	}
	return list
}

func (g *Gateway) listImages(w http.ResponseWriter, _ *http.Request) {
	entries, err := g.images.List()
	if err != nil {
		fail(w, http.StatusInternalServerError, "%v", err)
		return
	}
	list := []api.Image{}
	for _, e := range entries {
		list = append(list, api.Image{Name: e.Name, Digest: e.Manifest.Digest, Size: e.Manifest.Size(), Program: e.Manifest.Program, Created: e.Created})
	}
	reply(w, http.StatusOK, list)
}

// importImage makes an image of the static program in the request's body. ?name= names it, ?program= is what the file is called.
func (g *Gateway) importImage(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	program := filepath.Base(query.Get("program"))
	if program == "." || program == "/" || program == ".." || len(program) > 200 || strings.ContainsRune(program, 0) {
		program = "program"
	}
	name := query.Get("name")
	if name != "" {
		if err := image.CheckName(name); err != nil {
			fail(w, http.StatusBadRequest, "%v", err)
			return
		}
	}
	dir, err := os.MkdirTemp(g.opts.TempDir, "upload-")
	if err != nil {
		fail(w, http.StatusInternalServerError, "cannot store the upload: %v", err)
		return
	}
	defer os.RemoveAll(dir)
	src := filepath.Join(dir, program)
	if err := receive(src, w, r); err != nil {
		failUpload(w, err)
		return
	}
	m, err := g.images.Import(r.Context(), src, name)
	if err != nil {
		// The path is the node's own; the caller knows the program by the name it gave.
		fail(w, http.StatusBadRequest, "%s", strings.ReplaceAll(err.Error(), src, program))
		return
	}
	reply(w, http.StatusOK, api.Image{Name: name, Digest: m.Digest, Size: m.Size(), Program: m.Program, Created: time.Now().UTC()})
}

// receive stores a body that keeps coming: each part has bodyTimeout.
func receive(path string, w http.ResponseWriter, r *http.Request) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	defer f.Close()
	in := &patient{r: r.Body, c: http.NewResponseController(w)}
	if _, err := io.Copy(f, in); err != nil {
		return err
	}
	in.c.SetReadDeadline(time.Time{}) // or the request would end while the image is made
	return f.Close()
}
