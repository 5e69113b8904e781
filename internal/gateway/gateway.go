// SPDX-License-Identifier: Apache-2.0

// Package gateway is what the outside talks to over HTTP: invocations at /function/NAME, the management interface of
// OpenFaaS at /system as far as it goes, and the node's own at /unifaas/v1.
//
// It turns requests into calls of the control plane and results into statuses; it keeps no state.
package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/async"
	"unifaas.dev/internal/basicauth"
	"unifaas.dev/internal/control"
	"unifaas.dev/internal/engine"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/metrics"
	"unifaas.dev/internal/recent"
)

// Limits of what a caller may send.
const (
	maxHeader     = 256 << 10
	maxBody       = 256 << 20 // of an invocation
	maxManagement = 1 << 20
	maxUpload     = 16 << 30
	smallBody     = 64 << 10 // read before an instance is taken, so that a slow caller holds none

	headTimeout = 10 * time.Second  // for the head of a request
	bodyTimeout = 30 * time.Second  // for a small body
	idleTimeout = 180 * time.Second // of a kept-alive connection
)

// Images is what the gateway needs of the image store.
type Images interface {
	Import(ctx context.Context, src, name string) (image.Manifest, error)
	HasLayer(digest string) bool
	PutLayer(ctx context.Context, digest string, r io.Reader) error
	AddImage(m image.Manifest, name string) (image.Manifest, error)
	List() ([]image.Entry, error)
}

// Options are a gateway's settings.
type Options struct {
	Version string
	TempDir string // for uploads
	// Auth is who may manage the node; nil: whoever reaches it.
	Auth *basicauth.Credentials
	// Domains are those below which functions have names of their own, beside LocalDomain.
	Domains []string
	// Closing ends streams that would never end by themselves.
	Closing <-chan struct{}
	// Observe, if set, is told of each invocation of a function that is over. It does not block.
	Observe func(recent.Call)
	// Async, if set, keeps the invocations for whose answer nobody waits.
	Async *async.Queue
	// UI, if set, makes what is served below /ui. It is given the gateway, to invoke functions as any other caller does.
	UI func(gateway http.Handler) http.Handler
	// BodyTimeout is what a caller has for a small body, or a part of a large one; 0: bodyTimeout.
	BodyTimeout time.Duration
	// Ready, if set, says why the node should get no requests now.
	Ready func() error
	// Metrics is what requests are counted in and /metrics shows; nil: numbers that nobody else adds to.
	Metrics *metrics.Metrics
}

// Gateway is the handler.
type Gateway struct {
	control *control.Control
	images  Images
	opts    Options
	metrics *metrics.Metrics
	system  *http.ServeMux
	served  string // X-Served-By

	hostname string // of this machine
	domains  []string
}

// New makes the handler.
func New(c *control.Control, images Images, o Options) *Gateway {
	o.BodyTimeout = cmp.Or(o.BodyTimeout, bodyTimeout)
	g := &Gateway{control: c, images: images, opts: o, system: http.NewServeMux(), served: "unifaas/" + o.Version}
	for _, d := range append([]string{LocalDomain}, o.Domains...) {
		g.domains = append(g.domains, strings.ToLower(strings.Trim(d, ".")))
	}
	if name, err := os.Hostname(); err == nil {
		g.hostname = strings.ToLower(name)
	}
	if g.metrics = o.Metrics; g.metrics == nil {
		g.metrics = metrics.New(o.Version, c.Runtime())
	}
	if err := g.metrics.Register(nodeNumbers{c}); err != nil {
		panic(err) // two gateways with one set of numbers
	}
	g.system.HandleFunc("GET /healthz", g.healthz)
	g.system.HandleFunc("GET /readyz", g.readyz)
	g.system.Handle("GET /metrics", g.metrics)
	g.routeOwn()
	g.routeOpenFaaS()
	g.routeAsync()
	g.routeLambda()
	if o.UI != nil {
		ui := o.UI(g)
		g.system.Handle("/ui", ui)
		g.system.Handle("/ui/", ui)
	}
	g.system.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "nothing at %s: functions are at /function/NAME", r.URL.Path)
	})
	return g
}

// NewServer makes the server around it.
func NewServer(h http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Protocols:         &protocols,
		Handler:           h,
		ReadHeaderTimeout: headTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // broken connections of callers, mostly
	}
}

const functionPrefix = "/function/"

// ServeHTTP serves everything. Invocations go around the mux, which would redirect paths that only the function may judge.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Context().Value(http.LocalAddrContextKey) != nil {
		r.Header.Del(api.HeaderEvent) // it came over a connection: callers do not choose events
	}
	if name := g.functionOfHost(r.Host); name != "" {
		g.invoke(w, r, name, "/"+strings.TrimPrefix(r.URL.EscapedPath(), "/"))
		return
	}
	switch {
	case strings.HasPrefix(r.URL.Path, functionPrefix):
		name, path, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), functionPrefix), "/")
		g.invoke(w, r, name, "/"+path)
	case strings.HasPrefix(r.URL.Path, asyncPrefix):
		g.enqueue(w, r)
	default:
		if g.opts.Auth != nil && !open(r.URL.Path) && !isSigned(r) && !g.opts.Auth.Valid(r) {
			basicauth.Refuse(w)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && r.Method != http.MethodGet && !sameOrigin(r, origin) {
			// With or without a password, which browsers send by themselves: a page that one happens to show must not deploy functions.
			fail(w, http.StatusForbidden, "requests from pages of %s are not allowed", origin)
			return
		}
		if !g.knownHost(r) {
			fail(w, http.StatusForbidden, "this node is not known as %q: call it by its address, or as localhost", r.Host)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
		g.system.ServeHTTP(w, r)
	}
}

// open are the paths, beside those of functions, for which nobody is asked for a password.
func open(path string) bool {
	return path == "/healthz" || path == "/readyz" || path == "/metrics"
}

func sameOrigin(r *http.Request, origin string) bool {
	_, host, ok := strings.Cut(origin, "://")
	return ok && host == r.Host
}

// knownHost refuses names that a request to this machine from this machine has no reason to use: a page could make its own
// name stand for 127.0.0.1, and browsers would then count the node as part of its site.
func (g *Gateway) knownHost(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil || !IsLoopback(local.String()) {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || host == g.hostname ||
		net.ParseIP(strings.Trim(host, "[]")) != nil
}

func (g *Gateway) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok\n")
}

// readyz is for who spreads requests over nodes: what runs goes on whatever it says.
func (g *Gateway) readyz(w http.ResponseWriter, r *http.Request) {
	if g.opts.Ready != nil {
		if err := g.opts.Ready(); err != nil {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, "not ready: %v\n", err)
			return
		}
	}
	g.healthz(w, r)
}

func (g *Gateway) info() api.Info {
	return api.Info{Version: g.opts.Version, Runtime: g.control.Runtime(), PID: os.Getpid(), Functions: len(g.control.List())}
}

// reply writes JSON.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// fail writes an error of the gateway itself.
func fail(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set(api.HeaderInternal, "proxy")
	reply(w, status, api.Error{Error: fmt.Sprintf(format, args...)})
}

// failWith writes an error of the control plane.
func failWith(w http.ResponseWriter, name string, err error) {
	var bad *control.InvalidError
	switch {
	case errors.Is(err, control.ErrNotFound):
		fail(w, http.StatusNotFound, "function %s is not deployed", name)
	case errors.As(err, &bad):
		fail(w, http.StatusBadRequest, "%v", err)
	case errors.Is(err, control.ErrNoNamespace), errors.Is(err, control.ErrNoSecret):
		fail(w, http.StatusNotFound, "%v", err)
	case errors.Is(err, control.ErrExists), errors.Is(err, control.ErrSecretExists), errors.Is(err, control.ErrInUse):
		fail(w, http.StatusConflict, "%v", err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		fail(w, http.StatusInsufficientStorage, "%v", err)
	case errors.Is(err, engine.ErrUnreachable):
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "%v", err)
	default:
		fail(w, http.StatusInternalServerError, "%v", err)
	}
}

// read parses a JSON body; it has answered when it returns false.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxManagement)).Decode(v)
	if err != nil {
		fail(w, http.StatusBadRequest, "request body: %v", err)
	}
	return err == nil
}

func arch() string {
	if runtime.GOARCH == "amd64" {
		return "x86_64"
	}
	return runtime.GOARCH
}

// IsLoopback reports whether an address to listen on is reached from this machine only.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
