// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"slices"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/node"
)

// checkSecrets refuses a deployment whose secrets are not there, or have no room in its instances. m is the image, if it is known.
func (c *Control) checkSecrets(ctx context.Context, key string, names []string, m *image.Manifest) error {
	if len(names) == 0 {
		return nil
	}
	if len(m.Layers) >= image.MaxLayers {
		return invalid("function %s: its image has %d layers, which leave no room for secrets: build it with fewer", key, len(m.Layers))
	}
	_, ns := c.SplitName(key)
	for _, name := range names {
		v, err := c.secrets.version(ctx, ns, name)
		if err != nil {
			return err
		}
		if v == 0 {
			return invalid("function %s: there is no secret %s in namespace %s: make it with unifaas secret create", key, name, ns)
		}
	}
	return nil
}

// spec is what the node has to know to serve a revision of a function.
func (c *Control) spec(f *Function, r *Revision) node.Spec {
	s := f.spec(r)
	var ns string
	s.Service, ns = c.SplitName(f.Name)
	for _, name := range r.Secrets {
		v, err := c.secrets.version(context.Background(), ns, name)
		if err != nil {
			v = 0 // whoever starts an instance will hear why
		}
		s.Secrets = append(s.Secrets, node.Secret{Namespace: ns, Name: name, Version: v})
	}
	return s
}

// renew gives the functions that use a secret new instances, with its new value.
func (c *Control) renew(namespace, name string) {
	c.changing.Lock()
	defer c.changing.Unlock()
	for _, f := range c.In(namespace) {
		if slices.Contains(f.Current().Secrets, name) || slices.Contains(f.Wanted().Secrets, name) {
			c.serve(f)
		}
	}
}

// CreateSecret adds a secret; ErrSecretExists if there is one of that name.
func (c *Control) CreateSecret(ctx context.Context, namespace, name string, value []byte) error {
	if err := c.secrets.Create(ctx, namespace, name, value); err != nil {
		return err
	}
	c.renew(namespace, name) // those whose secret was taken away
	return nil
}

// UpdateSecret gives a secret another value, and new instances to the functions that use it; ErrNoSecret if there is none of that name.
func (c *Control) UpdateSecret(ctx context.Context, namespace, name string, value []byte) error {
	if err := c.secrets.Update(ctx, namespace, name, value); err != nil {
		return err
	}
	c.renew(namespace, name)
	return nil
}
