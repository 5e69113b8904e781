// SPDX-License-Identifier: Apache-2.0

// Package dashboard is the node's pages for people, below /ui: what runs, how fast, its logs, and forms to deploy, change
// and call functions. Pages are made here and work without scripts; a small script keeps them fresh. Everything they need
// comes from this program. Who may see them is decided by the gateway, in front.
package dashboard

import (
	"bytes"
	"context"
	"errors"
	"html/template"
	"net/http"
	"time"

	"unifaas.dev/internal/async"
	"unifaas.dev/internal/control"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/recent"
)

// Images is what the dashboard needs of the image store.
type Images interface {
	List() ([]image.Entry, error)
}

// Check is one line of what `unifaas doctor` says.
type Check struct {
	Name, Status, Detail, Fix string // Status: ok, warn, fail
}

// Options are a dashboard's parts.
type Options struct {
	Version string
	Control *control.Control
	Images  Images
	Recent  *recent.Book
	Async   *async.Queue // nil: there is none
	// Gateway takes invocations, as from any other caller.
	Gateway http.Handler
	// Upload makes an image of a file that somebody sent, and names it.
	Upload func(ctx context.Context, file, name string) (image.Manifest, error)
	// Doctor looks at the machine. It is asked once in a while, by one request at a time.
	Doctor func() []Check
	// TempDir is for uploads.
	TempDir string
	// Closing ends streams that would never end by themselves.
	Closing <-chan struct{}
}

// Dashboard is the handler.
type Dashboard struct {
	opts   Options
	mux    *http.ServeMux
	pages  map[string]*template.Template
	assets map[string]asset
	doctor doctorCache
	tails  chan struct{} // one for each log that is being followed
}

const maxTails = 64

// New makes the handler. It serves what is below /ui.
func New(o Options) *Dashboard {
	d := &Dashboard{opts: o, mux: http.NewServeMux(), tails: make(chan struct{}, maxTails)}
	d.assets = loadAssets()
	d.pages = d.loadPages()
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /ui/{$}":                             d.overview,
		"GET /ui/static/{name}":                   d.static,
		"GET /ui/deploy":                          d.deployForm,
		"POST /ui/deploy":                         d.deploy,
		"GET /ui/images":                          d.images,
		"GET /ui/node":                            d.node,
		"GET /ui/queue":                           d.queue,
		"POST /ui/queue":                          d.judge,
		"GET /ui/secrets":                         d.secrets,
		"POST /ui/secrets":                        d.keepSecret,
		"GET /ui/functions/{name}":                d.function,
		"GET /ui/functions/{name}/logs":           d.logs,
		"GET /ui/functions/{name}/logs/stream":    d.logStream,
		"GET /ui/functions/{name}/invoke":         d.invokeForm,
		"POST /ui/functions/{name}/invoke":        d.invoke,
		"GET /ui/functions/{name}/configure":      d.configureForm,
		"POST /ui/functions/{name}/configure":     d.configure,
		"POST /ui/functions/{name}/configure/run": d.act,
	} {
		d.mux.HandleFunc(pattern, h)
	}
	d.mux.Handle("GET /ui", http.RedirectHandler("/ui/", http.StatusFound))
	d.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		d.fail(w, r, http.StatusNotFound, "There is no page "+clip(r.URL.Path)+".")
	})
	return d
}

// policy lets pages use nothing but what comes from here, and nobody else show them in a frame.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP serves a page. Requests that change something have to come from a page of this very origin.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		d.fail(w, r, http.StatusForbidden, "This request does not come from a page of the dashboard.")
		return
	}
	d.mux.ServeHTTP(w, r)
}

// page is what every template is given.
type page struct {
	Title   string
	Section string // of the navigation
	Tab     string // of a function's pages
	Name    string // the function
	Version string
	Done    string // what was just done
	Error   string
	Body    any
}

// fragmentHeader is sent by the script, which wants only the part of a page that changes.
const fragmentHeader = "X-Unifaas-Fragment"

// render shows a page, or the part of it that the script asks for.
func (d *Dashboard) render(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	p.Version = d.opts.Version
	if p.Done == "" {
		p.Done = done(r.URL.Query().Get("done"))
	}
	part := "layout"
	if f := r.Header.Get(fragmentHeader); f == "live" || f == "result" {
		part = f
	}
	t := d.pages[name]
	var b bytes.Buffer
	if t.Lookup(part) == nil {
		part = "layout"
	}
	if err := t.ExecuteTemplate(&b, part, p); err != nil {
		http.Error(w, "page "+name+": "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(b.Bytes())
	}
}

func (d *Dashboard) fail(w http.ResponseWriter, r *http.Request, status int, text string) {
	d.render(w, r, status, "error", page{Title: http.StatusText(status), Error: text})
}

// failWith shows an error of the control plane about a function.
func (d *Dashboard) failWith(w http.ResponseWriter, r *http.Request, name string, err error) {
	if errors.Is(err, control.ErrNotFound) {
		d.fail(w, r, http.StatusNotFound, "Function "+clip(name)+" is not deployed.")
		return
	}
	d.fail(w, r, statusOf(err), err.Error())
}

func statusOf(err error) int {
	var bad *control.InvalidError
	switch {
	case errors.As(err, &bad):
		return http.StatusBadRequest
	case errors.Is(err, control.ErrNotFound):
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

// done is what a page says after something was done: the address only names it, so that no link can put words there.
func done(what string) string {
	switch what {
	case "deployed":
		return "Deployed."
	case "changed":
		return "Changed."
	case "removed":
		return "Removed."
	case "rolledback":
		return "The earlier revision takes over as soon as it answers."
	case "replayed":
		return "It is tried again."
	case "dropped":
		return "Dropped."
	case "kept":
		return "The secret is kept. Functions that have it find the new value in instances that start from now on."
	case "parked":
		return "Idle instances are parked."
	case "unchanged":
		return "Nothing was to be changed."
	}
	return ""
}

// redirect shows another page after a form did its work.
func redirect(w http.ResponseWriter, r *http.Request, path string) {
	w.Header().Set("X-Unifaas-Location", path) // for the script, which cannot see where a redirect leads
	http.Redirect(w, r, path, http.StatusSeeOther)
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// now is when a page is made.
func now() time.Time { return time.Now() }
