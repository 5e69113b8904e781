// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/gateway/api"
)

func (g *Gateway) routeNamespaces(m *http.ServeMux) {
	m.HandleFunc("GET /system/namespaces", func(w http.ResponseWriter, _ *http.Request) {
		names := []string{}
		for _, ns := range g.control.Namespaces() {
			names = append(names, ns.Name)
		}
		reply(w, http.StatusOK, names)
	})
	m.HandleFunc("GET /system/namespace/{name}", func(w http.ResponseWriter, r *http.Request) {
		ns, err := g.control.Namespace(r.PathValue("name"))
		if err != nil {
			failWith(w, "", err)
			return
		}
		reply(w, http.StatusOK, api.FunctionNamespace{Name: ns.Name, Labels: ns.Labels, Annotations: ns.Annotations})
	})
	m.HandleFunc("POST /system/namespace/{$}", g.createNamespace) // the name is in the body
	m.HandleFunc("POST /system/namespace/{name}", g.createNamespace)
	m.HandleFunc("PUT /system/namespace/{name}", func(w http.ResponseWriter, r *http.Request) {
		if ns, ok := readNamespace(w, r); ok {
			done(w, http.StatusAccepted, g.control.UpdateNamespace(r.Context(), ns))
		}
	})
	m.HandleFunc("DELETE /system/namespace/{name}", func(w http.ResponseWriter, r *http.Request) {
		done(w, http.StatusAccepted, g.control.DeleteNamespace(r.Context(), r.PathValue("name")))
	})
}

func (g *Gateway) createNamespace(w http.ResponseWriter, r *http.Request) {
	if ns, ok := readNamespace(w, r); ok {
		done(w, http.StatusCreated, g.control.CreateNamespace(r.Context(), ns))
	}
}

// readNamespace reads a body, which may leave out the name if the path has it.
func readNamespace(w http.ResponseWriter, r *http.Request) (control.Namespace, bool) {
	q := api.FunctionNamespace{Name: r.PathValue("name")}
	if r.ContentLength != 0 && !read(w, r, &q) {
		return control.Namespace{}, false
	}
	if in := r.PathValue("name"); in != "" && q.Name != in {
		fail(w, http.StatusBadRequest, "namespace %.80q: the path says %.80q", q.Name, in)
		return control.Namespace{}, false
	}
	return control.Namespace{Name: q.Name, Labels: q.Labels, Annotations: q.Annotations}, true
}

// done answers with a status, or with what went wrong.
func done(w http.ResponseWriter, status int, err error) {
	if err != nil {
		failWith(w, "", err)
		return
	}
	w.WriteHeader(status)
}

// namespace checks the one that a request names, if it does; it has answered when it returns false.
func (g *Gateway) namespace(w http.ResponseWriter, name string) (string, bool) {
	if name == "" {
		return control.DefaultNamespace, true
	}
	if !g.control.HasNamespace(name) {
		fail(w, http.StatusBadRequest, "there is no namespace %.80q", name)
		return "", false
	}
	return name, true
}
