// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"unifaas.dev/internal/gateway/api"
)

// What OpenFaaS's interface has and the node's own does not repeat.

// DeployOpenFaaS makes a function, or a new revision of it, as faas-cli does. created reports which.
func (c *Client) DeployOpenFaaS(ctx context.Context, d api.FunctionDeployment) (created bool, err error) {
	err = c.call(ctx, http.MethodPut, "/system/functions", d, nil)
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		created = true
		err = c.call(ctx, http.MethodPost, "/system/functions", d, nil)
	}
	return created, err
}

// FunctionsIn lists the functions of a namespace.
func (c *Client) FunctionsIn(ctx context.Context, namespace string) (l []api.Function, err error) {
	return l, c.call(ctx, http.MethodGet, "/unifaas/v1/functions?namespace="+url.QueryEscape(namespace), nil, &l)
}

// Namespaces lists namespaces.
func (c *Client) Namespaces(ctx context.Context) (names []string, err error) {
	return names, c.call(ctx, http.MethodGet, "/system/namespaces", nil, &names)
}

func namespacePath(name string) string { return "/system/namespace/" + url.PathEscape(name) }

// Namespace says what is known of one.
func (c *Client) Namespace(ctx context.Context, name string) (n api.FunctionNamespace, err error) {
	return n, c.call(ctx, http.MethodGet, namespacePath(name), nil, &n)
}

// CreateNamespace makes one.
func (c *Client) CreateNamespace(ctx context.Context, n api.FunctionNamespace) error {
	return c.call(ctx, http.MethodPost, "/system/namespace/", n, nil)
}

// UpdateNamespace replaces its labels and annotations.
func (c *Client) UpdateNamespace(ctx context.Context, n api.FunctionNamespace) error {
	return c.call(ctx, http.MethodPut, namespacePath(n.Name), n, nil)
}

// RemoveNamespace removes an empty one.
func (c *Client) RemoveNamespace(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, namespacePath(name), api.FunctionNamespace{Name: name}, nil)
}

// Secrets lists the secrets of a namespace, without values.
func (c *Client) Secrets(ctx context.Context, namespace string) (l []api.FunctionSecret, err error) {
	return l, c.call(ctx, http.MethodGet, "/system/secrets?namespace="+url.QueryEscape(namespace), nil, &l)
}

// CreateSecret adds one.
func (c *Client) CreateSecret(ctx context.Context, s api.FunctionSecret) error {
	return c.call(ctx, http.MethodPost, "/system/secrets", s, nil)
}

// UpdateSecret gives one another value.
func (c *Client) UpdateSecret(ctx context.Context, s api.FunctionSecret) error {
	return c.call(ctx, http.MethodPut, "/system/secrets", s, nil)
}

// RemoveSecret takes one away.
func (c *Client) RemoveSecret(ctx context.Context, namespace, name string) error {
	return c.call(ctx, http.MethodDelete, "/system/secrets", api.FunctionSecret{Namespace: namespace, Name: name}, nil)
}
