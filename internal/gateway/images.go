// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/engine"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/image"
)

// routeImages is how images come to a node: the layers that it has not got, then the manifest that names them.
func (g *Gateway) routeImages() {
	g.system.HandleFunc("GET /unifaas/v1/images", g.listImages)
	g.system.HandleFunc("POST /unifaas/v1/images", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") == api.ManifestType {
			g.addImage(w, r)
			return
		}
		g.importImage(w, r)
	})
	g.system.HandleFunc("GET /unifaas/v1/layers/{digest}", g.hasLayer) // and HEAD
	g.system.HandleFunc("PUT /unifaas/v1/layers/{digest}", g.putLayer)
}

func (g *Gateway) hasLayer(w http.ResponseWriter, r *http.Request) {
	d := r.PathValue("digest")
	if !g.images.HasLayer(d) {
		fail(w, http.StatusNotFound, "layer %.80q is not here", d)
		return
	}
	reply(w, http.StatusOK, struct{}{})
}

func (g *Gateway) putLayer(w http.ResponseWriter, r *http.Request) {
	in := &patient{r: r.Body, c: http.NewResponseController(w)}
	err := g.images.PutLayer(r.Context(), r.PathValue("digest"), in)
	in.c.SetReadDeadline(time.Time{})
	if err != nil {
		failUpload(w, err)
		return
	}
	reply(w, http.StatusOK, struct{}{})
}

// addImage takes a manifest whose layers are here. ?name= names the image.
func (g *Gateway) addImage(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	if name != "" {
		if err := image.CheckName(name); err != nil {
			fail(w, http.StatusBadRequest, "%v", err)
			return
		}
	}
	b, err := io.ReadAll(io.LimitReader(&patient{r: r.Body, c: http.NewResponseController(w)}, image.MaxManifest+1))
	if err != nil {
		failUpload(w, err)
		return
	}
	m, err := image.DecodeManifest(b)
	if err == nil {
		m, err = g.images.AddImage(m, name)
	}
	if err != nil {
		failUpload(w, err)
		return
	}
	reply(w, http.StatusOK, api.Image{Name: name, Digest: m.Digest, Size: m.Size(), Program: m.Program, Created: time.Now().UTC()})
}

// patient is a body that keeps coming: each part has bodyTimeout.
type patient struct {
	r io.Reader
	c *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	p.c.SetReadDeadline(time.Now().Add(bodyTimeout))
	return p.r.Read(b)
}

func failUpload(w http.ResponseWriter, err error) {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		fail(w, http.StatusRequestEntityTooLarge, "upload is larger than %d bytes", large.Limit)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		fail(w, http.StatusInsufficientStorage, "the disk of the node is full: make room below its data folder")
	case errors.Is(err, engine.ErrUnreachable):
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "%v", err)
	case errors.Is(err, image.ErrNoLayer):
		fail(w, http.StatusConflict, "%v", err)
	default:
		fail(w, http.StatusBadRequest, "%v", err)
	}
}
