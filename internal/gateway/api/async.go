// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"time"
)

// Async is what GET /unifaas/v1/async answers.
type Async struct {
	Queues    []AsyncQueue `json:"queues"` // of functions for which something waits
	Dead      []DeadLetter `json:"dead"`   // the oldest first
	DeadTotal int          `json:"dead_total"`
}

// AsyncQueue is what waits for a function.
type AsyncQueue struct {
	Function  string `json:"function"`
	Queued    int    `json:"queued"`    // accepted and not done, those that run included
	Running   int    `json:"running"`   // of them, on the node that answers
	Callbacks int    `json:"callbacks"` // answers that are not delivered yet
}

// DeadLetter is an asynchronous invocation, or the callback of one, that could not be done.
type DeadLetter struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"` // call: it was not executed well; callback: its answer was not delivered
	Function string    `json:"function"`
	CallID   string    `json:"call_id"`
	Callback string    `json:"callback,omitempty"` // without its password
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	Status   int       `json:"status,omitempty"` // of the last answer
	Accepted time.Time `json:"accepted"`
	Died     time.Time `json:"died"`
	Method   string    `json:"method,omitempty"`
	Path     string    `json:"path,omitempty"` // with query
	Size     int64     `json:"size"`           // of the body

	// Only of one dead letter.
	Header    http.Header `json:"header,omitempty"`
	Body      []byte      `json:"body,omitempty"`      // the start of it
	Truncated bool        `json:"truncated,omitempty"` // Body is not all
}

// Replayed answers POST /unifaas/v1/async/replay.
type Replayed struct {
	Replayed int `json:"replayed"`
}
