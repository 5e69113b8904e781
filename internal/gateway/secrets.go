// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"

	"unifaas.dev/internal/gateway/api"
)

// routeSecrets is OpenFaaS's interface for secrets. No answer has a value.
func (g *Gateway) routeSecrets(m *http.ServeMux) {
	m.HandleFunc("GET /system/secrets", func(w http.ResponseWriter, r *http.Request) {
		ns, ok := g.namespace(w, r.URL.Query().Get("namespace"))
		if !ok {
			return
		}
		all, err := g.control.Secrets().List(r.Context(), ns)
		if err != nil {
			failWith(w, "", err)
			return
		}
		list := []api.FunctionSecret{}
		for _, s := range all {
			list = append(list, api.FunctionSecret{Name: s.Name, Namespace: s.Namespace})
		}
		reply(w, http.StatusOK, list)
	})
	m.HandleFunc("POST /system/secrets", func(w http.ResponseWriter, r *http.Request) {
		if ns, q, ok := g.readSecret(w, r, true); ok {
			done(w, http.StatusCreated, g.control.CreateSecret(r.Context(), ns, q.Name, q.RawValue))
		}
	})
	m.HandleFunc("PUT /system/secrets", func(w http.ResponseWriter, r *http.Request) {
		if ns, q, ok := g.readSecret(w, r, true); ok {
			done(w, http.StatusOK, g.control.UpdateSecret(r.Context(), ns, q.Name, q.RawValue))
		}
	})
	m.HandleFunc("DELETE /system/secrets", func(w http.ResponseWriter, r *http.Request) {
		if ns, q, ok := g.readSecret(w, r, false); ok {
			done(w, http.StatusOK, g.control.Secrets().Delete(r.Context(), ns, q.Name)) // faas-cli takes 204 for an error
		}
	})
}

// readSecret reads a body whose value is then in RawValue; it has answered when it returns false.
func (g *Gateway) readSecret(w http.ResponseWriter, r *http.Request, value bool) (ns string, q api.FunctionSecret, ok bool) {
	if !read(w, r, &q) {
		return "", q, false
	}
	if ns, ok = g.namespace(w, q.Namespace); !ok {
		return "", q, false
	}
	if len(q.RawValue) == 0 {
		q.RawValue = []byte(q.Value)
	}
	if value && len(q.RawValue) == 0 {
		fail(w, http.StatusBadRequest, "secret %.80q: it has no value", q.Name)
		return "", q, false
	}
	return ns, q, true
}
