// SPDX-License-Identifier: Apache-2.0

// Package nodelog is the node's own log: what it has to say about itself, as lines for people or as JSON for machines. What functions
// print is in package logs.
package nodelog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// Forms of the log.
const (
	Text = "text"
	JSON = "json"
)

// New makes a log in a form. Text is one line a message, as everything else that unifaas prints.
func New(w io.Writer, form string) (*slog.Logger, error) {
	switch form {
	case "", Text:
		return slog.New(&lines{w: w, mu: new(sync.Mutex)}), nil
	case JSON:
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	}
	return nil, fmt.Errorf("log format %q: use %s or %s", form, Text, JSON)
}

// lines is a slog.Handler for people.
type lines struct {
	mu    *sync.Mutex
	w     io.Writer
	attrs []slog.Attr
}

// Enabled is slog.Handler's.
func (h *lines) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle writes one line, whatever the message has in it.
func (h *lines) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	b.WriteString("unifaas: ")
	switch {
	case r.Level >= slog.LevelError:
		b.WriteString("error: ")
	case r.Level >= slog.LevelWarn:
		b.WriteString("warning: ")
	}
	b.WriteString(strings.Join(strings.Fields(r.Message), " "))
	add := func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%q", a.Key, a.Value.String())
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.w.Write(b.Bytes())
	return err
}

// WithAttrs is slog.Handler's.
func (h *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lines{h.mu, h.w, append(append([]slog.Attr(nil), h.attrs...), attrs...)}
}

// WithGroup is slog.Handler's: lines for people have no groups.
func (h *lines) WithGroup(string) slog.Handler { return h }
