// SPDX-License-Identifier: Apache-2.0

package node

import (
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
	tender Tender
	layers []image.Layer
	closed bool
	ending sync.WaitGroup

	pidMu sync.Mutex
	pid   int
}

// get gives the tender. Preconditions: pool.mu is not held.
func (h *tenderHolder) get(ctx context.Context) (Tender, error) {
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
	spec := h.pool.spec
	layers, manifest, err := h.pool.n.images.Open(spec.Image)
	if err != nil {
		return nil, err
	}
	t, err := h.pool.n.runtime.StartTender(ctx, TenderConfig{
		Name:     spec.Revision,
		Layers:   layers,
		Manifest: manifest, Memory: spec.Memory, Port: spec.Port, Spawn: spec.Stdio, Egress: spec.Egress,
		Env:    environ(manifest, spec),
		OnLine: h.pool.n.output(spec.Function),
	})
	if err != nil {
		image.CloseLayers(layers)
		return nil, fmt.Errorf("tender: %w", err)
	}
	h.tender, h.layers = t, layers
	h.setPID(t.PID())
	return t, nil
}

// drop lets go of the tender. Preconditions: mu is held.
func (h *tenderHolder) drop() {
	if h.tender == nil {
		return
	}
	t, layers := h.tender, h.layers
	h.tender, h.layers = nil, nil
	h.setPID(0)
	h.ending.Add(1)
	go func() {
		defer h.ending.Done()
		t.Close()
		image.CloseLayers(layers)
	}()
}

// dismiss ends the tender if none is being started. Preconditions: no instance is left.
func (h *tenderHolder) dismiss() {
	if h.mu.TryLock() {
		h.drop()
		h.mu.Unlock()
	}
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
	h.pid = pid
	h.pidMu.Unlock()
}

func (h *tenderHolder) currentPID() int {
	h.pidMu.Lock()
	defer h.pidMu.Unlock()
	return h.pid
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
	vars["K_SERVICE"] = spec.Function
	vars["K_CONFIGURATION"] = spec.Function
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
