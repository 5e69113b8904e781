// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"unifaas.dev/internal/image"
)

// tenderHolder has the tender of a pool: made when the first instance needs it, again when it died, dismissed when idle.
type tenderHolder struct {
	pool *pool

	mu     sync.Mutex // held while a tender starts: others wait for it
	tender *tenderInUse
	closed bool
	ending sync.WaitGroup

	pidMu sync.Mutex
	pid   int
	kept  int // shells
}

// tenderInUse is a tender with what belongs to it.
type tenderInUse struct {
	Tender
	*lineage
	layers []image.Layer
	shells int   // that it was told to keep; -1: it was not told yet
	group  Group // nil: it has none
}

// config is what a tender of the revision is started with. The caller closes its layers.
func (h *tenderHolder) config(ctx context.Context) (TenderConfig, error) {
	spec := h.pool.spec
	layers, manifest, err := h.pool.n.images.Open(spec.Image)
	if err != nil {
		return TenderConfig{}, err
	}
	if len(spec.Secrets) > 0 {
		l, err := h.pool.n.secrets(ctx, spec.Secrets)
		if err != nil {
			image.CloseLayers(layers)
			return TenderConfig{}, err
		}
		layers = append(layers, l)
	}
	return TenderConfig{
		Name:     spec.Revision,
		Layers:   layers,
		Manifest: manifest, Memory: spec.Memory, Port: spec.Port, Spawn: spec.Stdio, ReadOnlyRoot: spec.ReadOnly, Egress: spec.Egress,
		Env:    environ(manifest, spec),
		OnLine: h.pool.onLine(),
	}, nil
}

// get gives the tender. Preconditions: pool.mu is not held.
func (h *tenderHolder) get(ctx context.Context) (*tenderInUse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosing
	}
	if h.tender != nil {
		select {
		case <-h.tender.Done():
			h.drop()
		default:
			return h.tender, nil
		}
	}
	c, err := h.config(ctx)
	if err != nil {
		return nil, err
	}
	p := h.pool
	over, err := p.n.turns.take(ctx, p, p.n.capacity.weightOf(p.account))
	if err != nil {
		image.CloseLayers(c.Layers)
		return nil, err
	}
	t, l, err := p.snap.start(ctx, c)
	over()
	if err != nil {
		image.CloseLayers(c.Layers)
		return nil, fmt.Errorf("tender: %w", err)
	}
	h.tender = &tenderInUse{Tender: t, lineage: l, layers: c.Layers, shells: -1}
	h.place(h.tender)
	h.setPID(t.PID())
	return h.tender, nil
}

// drop lets go of the tender; what it returns is closed when it is gone. Preconditions: mu is held.
func (h *tenderHolder) drop() <-chan struct{} {
	gone := make(chan struct{})
	if h.tender == nil {
		close(gone)
		return gone
	}
	t := h.tender
	h.tender = nil
	h.setPID(0)
	h.ending.Add(1)
	go func() {
		defer h.ending.Done()
		t.Close()
		if t.group != nil {
			_ = t.group.Remove() // what is left goes with the next start of a node
		}
		t.lineage.close()
		image.CloseLayers(t.layers)
		close(gone)
	}()
	return gone
}

// dismiss ends the tender if none is being started. Preconditions: no instance is left.
func (h *tenderHolder) dismiss() {
	if h.mu.TryLock() {
		h.drop()
		h.mu.Unlock()
	}
}

// dismissNow ends the tender and waits for that, if none is being started. Preconditions: no instance is left.
func (h *tenderHolder) dismissNow() bool {
	if !h.mu.TryLock() {
		return false
	}
	gone := h.drop()
	h.mu.Unlock()
	<-gone
	return true
}

// close ends the tender for good; it returns when the process is gone.
func (h *tenderHolder) close() {
	h.mu.Lock()
	h.closed = true
	h.drop()
	h.mu.Unlock()
	h.ending.Wait()
}

func (h *tenderHolder) setPID(pid int) {
	h.pidMu.Lock()
	h.pid, h.kept = pid, 0
	h.pidMu.Unlock()
}

func (h *tenderHolder) currentPID() int {
	h.pidMu.Lock()
	defer h.pidMu.Unlock()
	return h.pid
}

// heldShells is how many shells the tender was told to keep.
func (h *tenderHolder) heldShells() int {
	h.pidMu.Lock()
	defer h.pidMu.Unlock()
	return h.kept
}

// environ is what the program finds in its environment: the image's, then what the platform promises (the Knative
// names), then what the user chose. Later ones win.
func environ(m image.Manifest, spec Spec) []string {
	vars := map[string]string{"HOME": "/root", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, kv := range m.Env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	if spec.Port != 0 {
		vars["PORT"] = strconv.Itoa(spec.Port)
	}
	if spec.Lambda {
		lambdaEnv(vars, spec)
	}
	service := cmp.Or(spec.Service, spec.Function)
	vars["K_SERVICE"] = service
	vars["K_CONFIGURATION"] = service
	vars["K_REVISION"] = spec.Revision
	for k, v := range spec.Env {
		vars[k] = v
	}
	list := make([]string, 0, len(vars))
	for k, v := range vars {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// hostname is what the program sees as its machine's name.
func hostname(function, id string) string {
	clean := strings.Map(func(r rune) rune {
		if r == '_' || r == '.' {
			return '-'
		}
		return r
	}, strings.ToLower(function))
	if limit := 63 - 1 - len(id); len(clean) > limit {
		clean = clean[:limit]
	}
	return strings.Trim(clean+"-"+id, "-")
}
