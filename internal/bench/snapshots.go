// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"strings"
	"time"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
)

// snapshotEnv is what tells a node how to make a function's snapshot: auto, manual or off.
const snapshotEnv = "UNIFAAS_SNAPSHOT"

// empty takes away all instances of a function.
func (h *host) empty(ctx context.Context, function string) error {
	return h.explain(h.Empty(ctx, function))
}

// noTender takes away all instances of a function, and the process that would run the next one.
func (h *host) noTender(ctx context.Context, function string) error {
	if err := h.empty(ctx, function); err != nil {
		return err
	}
	return h.explain(h.Client.Dismiss(ctx, function))
}

// snapshotTries is how many instances are looked at for one that comes from a snapshot.
const snapshotTries = 3

// snapshot sees to it that there is a snapshot of a function: its first instance is booted, a later one is not.
func (h *host) snapshot(ctx context.Context, function string) error {
	for range snapshotTries {
		if err := h.empty(ctx, function); err != nil {
			return err
		}
		a, err := h.call(ctx, function)
		if err != nil {
			return err
		}
		if t, _, err := a.timing(); err != nil || t.Origin == "snapshot" {
			return err
		}
		if err := settle(ctx, h.PID()); err != nil {
			return err
		}
	}
	return unable("instances do not start from a snapshot: %s", h.said(ctx, function, "", "snapshot"))
}

// said is the last line with a word in a function's log, of one instance if that is not empty.
func (h *host) said(ctx context.Context, function, instance, word string) string {
	last := "the node does not say why"
	h.Client.Logs(ctx, client.LogQuery{Function: function, Instance: instance, Tail: 1000}, func(l api.LogLine) error {
		if strings.Contains(l.Text, word) {
			last = l.Text
		}
		return nil
	})
	return last
}

// from lets only starts count that were made from what they are to be measured from.
func (l *lane) from(origin string) *lane {
	once := l.once
	l.once = func(ctx context.Context) (sample, error) {
		s, err := once(ctx)
		if err == nil && s.origin != origin {
			err = unable("an instance was made from %q, not from %q", s.origin, origin)
		}
		return s, err
	}
	return l
}

// rewinds is what a function's rewinds have taken so far.
func (h *host) rewinds(ctx context.Context, function string) (rewindCount, error) {
	d, err := h.Client.Describe(ctx, function)
	return rewindCount{d.Rewinds, d.RewindPages, time.Duration(d.RewindUS) * time.Microsecond}, h.explain(err)
}
