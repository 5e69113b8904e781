// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"

	"unifaas.dev/internal/control"
)

// secretsPage lists secrets, never their values.
type secretsPage struct {
	Secrets         []control.Secret
	Namespaces      []string
	Name, Namespace string // as they were typed
}

// namespaces are the default one and those that were made.
func (d *Dashboard) namespaces() []string {
	names := []string{control.DefaultNamespace}
	for _, n := range d.opts.Control.Namespaces() {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (d *Dashboard) secrets(w http.ResponseWriter, r *http.Request) {
	d.showSecrets(w, r, http.StatusOK, secretsPage{}, "")
}

func (d *Dashboard) showSecrets(w http.ResponseWriter, r *http.Request, status int, p secretsPage, problem string) {
	p.Namespaces = d.namespaces()
	for _, n := range p.Namespaces {
		list, err := d.opts.Control.Secrets().List(r.Context(), n)
		if err != nil {
			d.fail(w, r, http.StatusInternalServerError, err.Error())
			return
		}
		p.Secrets = append(p.Secrets, list...)
	}
	d.render(w, r, status, "secrets", page{Title: "Secrets", Section: "secrets", Error: problem, Body: p})
}

// keepSecret stores a secret, or removes one.
func (d *Dashboard) keepSecret(w http.ResponseWriter, r *http.Request) {
	if !d.readForm(w, r) {
		return
	}
	form := r.PostForm
	p := secretsPage{Name: strings.TrimSpace(form.Get("name")), Namespace: cmp.Or(form.Get("namespace"), control.DefaultNamespace)}
	if !slices.Contains(d.namespaces(), p.Namespace) {
		d.showSecrets(w, r, http.StatusBadRequest, p, "There is no namespace "+clip(p.Namespace)+".")
		return
	}
	var err error
	done := "kept"
	if form.Get("do") == "remove" {
		err, done = d.opts.Control.Secrets().Delete(r.Context(), p.Namespace, p.Name), "removed"
	} else {
		err = d.opts.Control.Secrets().Put(r.Context(), p.Namespace, p.Name, []byte(strings.ReplaceAll(form.Get("value"), "\r\n", "\n")))
	}
	switch {
	case errors.Is(err, control.ErrNoSecret):
		d.showSecrets(w, r, http.StatusNotFound, p, err.Error())
	case err != nil:
		d.showSecrets(w, r, statusOf(err), p, err.Error())
	default:
		redirect(w, r, "/ui/secrets?done="+done)
	}
}
