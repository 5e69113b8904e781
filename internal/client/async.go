// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
	"net/url"

	"unifaas.dev/internal/gateway/api"
)

const asyncPath = "/unifaas/v1/async"

// Async says what asynchronous invocations wait, and which could not be done; of all functions with an empty name.
func (c *Client) Async(ctx context.Context, function string) (a api.Async, err error) {
	return a, c.call(ctx, http.MethodGet, asyncPath+"?function="+url.QueryEscape(function), nil, &a)
}

// DeadLetter shows one.
func (c *Client) DeadLetter(ctx context.Context, id string) (d api.DeadLetter, err error) {
	return d, c.call(ctx, http.MethodGet, asyncPath+"/"+url.PathEscape(id), nil, &d)
}

// Replay puts a dead letter back into the queue.
func (c *Client) Replay(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, asyncPath+"/"+url.PathEscape(id)+"/replay", nil, nil)
}

// ReplayAll puts all back, of one function unless its name is empty.
func (c *Client) ReplayAll(ctx context.Context, function string) (int, error) {
	var r api.Replayed
	err := c.call(ctx, http.MethodPost, asyncPath+"/replay?function="+url.QueryEscape(function), nil, &r)
	return r.Replayed, err
}

// DropDead throws a dead letter away.
func (c *Client) DropDead(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, asyncPath+"/"+url.PathEscape(id), nil, nil)
}
