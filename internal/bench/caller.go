// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	"unifaas.dev/internal/gateway/api"
)

// caller is one client with one connection that stays open.
type caller struct{ http *http.Client }

func newCaller() *caller {
	return &caller{&http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, DisableCompression: true}}}
}

func (c *caller) close() { c.http.CloseIdleConnections() }

// answer is what a call got.
type answer struct {
	took   time.Duration // until the first byte
	header http.Header
	body   []byte
}

// get is the time from sending a request to the first byte of its answer.
func (c *caller) get(ctx context.Context, url string) (time.Duration, error) {
	a, err := c.call(ctx, url, nil)
	return a.took, err
}

func (c *caller) call(ctx context.Context, url string, header http.Header) (answer, error) {
	var first time.Time
	start := time.Now()
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { first = time.Now() },
	}), http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("%s: %s: %.200s", url, resp.Status, body)
	}
	return answer{first.Sub(start), resp.Header, body}, nil
}

// timed makes calls whose answer says where the time went.
var timed = http.Header{api.HeaderTiming: {"1"}}

// timing is of the gateway's account what is no step.
type timing struct {
	Cold   bool   `json:"cold"`
	Origin string `json:"origin"` // of the instance that was made: boot, snapshot, parked
}

// timing is what the gateway says about a call: whether it was cold, and how long each step took, in µs. What the gateway does not
// account for, and the caller's own part, is the last step.
func (a answer) timing() (t timing, steps []Step, err error) {
	text := []byte(a.header.Get(api.HeaderTiming))
	if err := json.Unmarshal(text, &t); err != nil {
		return t, nil, fmt.Errorf("header %s of the answer: %w", api.HeaderTiming, err)
	}
	// Once more, in the order in which they are written: a step that is added there needs nothing here.
	d := json.NewDecoder(bytes.NewReader(text))
	d.Token()
	rest := us(a.took)
	for d.More() {
		key, err := d.Token()
		var v any
		if err == nil {
			err = d.Decode(&v)
		}
		if err != nil {
			return t, nil, fmt.Errorf("header %s of the answer: %w", api.HeaderTiming, err)
		}
		name, isTime := strings.CutSuffix(key.(string), "_us")
		if n, ok := v.(float64); ok && isTime && name != "total" {
			steps = append(steps, Step{name, n})
			rest -= n
		}
	}
	return t, append(steps, Step{"other", max(rest, 0)}), nil
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
