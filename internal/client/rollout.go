// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"unifaas.dev/internal/gateway/api"
)

// awaitFor is how long one request waits for what becomes of a revision.
const awaitFor = 30 * time.Second

// What a revision's state can be, as control has it.
const (
	statePending  = "pending"
	stateFailed   = "failed"
	stateReplaced = "replaced"
)

// Rollback has an earlier revision served; to 0 is the one before the current one.
func (c *Client) Rollback(ctx context.Context, name string, to int) (r api.DeployReply, err error) {
	return r, c.call(ctx, http.MethodPost, functionPath(name)+"/rollback", api.RollbackRequest{To: to}, &r)
}

// Await waits until it is known what becomes of a revision.
func (c *Client) Await(ctx context.Context, name string, number int) (r api.Revision, err error) {
	path := fmt.Sprintf("%s/revisions/%d?wait=%s", functionPath(name), number, awaitFor)
	for {
		if err = c.call(ctx, http.MethodGet, path, nil, &r); err != nil || r.State != statePending {
			return r, err
		}
	}
}

// RevisionError is a revision that is not served although it was to be.
type RevisionError struct {
	Function string
	Revision api.Revision
	Served   string // the one that is; empty: none ever answered
}

func (e *RevisionError) Error() string {
	text := fmt.Sprintf("function %s: revision %s failed: %s", e.Function, e.Revision.Name, e.Revision.Reason)
	if e.Revision.State == stateReplaced {
		text = fmt.Sprintf("function %s: revision %s was replaced by another one before it answered", e.Function, e.Revision.Name)
	}
	if e.Served != "" {
		text += "; " + e.Served + " goes on"
	}
	if e.Revision.State == stateFailed {
		text += fmt.Sprintf(" (see 'unifaas logs %s')", e.Function)
	}
	return text
}

// AwaitServed waits until a revision is served. A *RevisionError says that it is not going to be.
func (c *Client) AwaitServed(ctx context.Context, name string, number int) (api.Revision, error) {
	r, err := c.Await(ctx, name, number)
	if err != nil || r.State != stateFailed && r.State != stateReplaced {
		return r, err
	}
	bad := &RevisionError{Function: name, Revision: r}
	if d, err := c.Describe(ctx, name); err == nil && d.Revision.Number != number && d.Revision.State != stateFailed && d.Revision.State != statePending {
		bad.Served = d.Revision.Name
	}
	return r, bad
}
