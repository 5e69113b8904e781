// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"unifaas.dev/internal/logs"
)

const (
	shownLines  = 500
	tailTimeout = 30 * time.Second // of a reader that stopped reading
)

// logPage is a function's log.
type logPage struct {
	Filter filter
	Lines  []logs.Line
	Stream string // path and query of the same, live
}

// filter chooses lines.
type filter struct{ Instance, Stream, Text string }

func filterOf(r *http.Request) filter {
	q := r.URL.Query()
	return filter{clipTo(q.Get("instance"), 100), q.Get("stream"), clipTo(q.Get("text"), 200)}
}

func clipTo(s string, n int) string { return s[:min(len(s), n)] }

func (f filter) wants(l *logs.Line) bool {
	return (f.Stream == "" || l.Stream == f.Stream) && (f.Text == "" || strings.Contains(strings.ToLower(l.Text), strings.ToLower(f.Text)))
}

// choose keeps the last shownLines lines that fit.
func (f filter) choose(all []logs.Line) []logs.Line {
	lines := all[:0]
	for _, l := range all {
		if f.wants(&l) {
			lines = append(lines, l)
		}
	}
	return lines[max(0, len(lines)-shownLines):]
}

func (d *Dashboard) logs(w http.ResponseWriter, r *http.Request) {
	f := d.get(w, r)
	if f == nil {
		return
	}
	p := logPage{Filter: filterOf(r), Stream: "/ui/functions/" + f.Name + "/logs/stream"}
	if r.URL.RawQuery != "" {
		p.Stream += "?" + r.URL.RawQuery
	}
	p.Lines = p.Filter.choose(d.opts.Control.Logs(f.Name, logs.Query{Instance: p.Filter.Instance, Tail: -1}))
	d.render(w, r, http.StatusOK, "logs", page{Title: "Logs of " + f.Name, Section: "functions", Tab: "logs", Name: f.Name, Body: p})
}

// sentLine is a line as the script gets it.
type sentLine struct {
	Time     time.Time `json:"time"`
	Clock    string    `json:"clock"`
	Instance string    `json:"instance"`
	Stream   string    `json:"stream"`
	Text     string    `json:"text"`
}

// logStream sends a log as server-sent events: the last lines first, in one event that replaces what the page shows, so that a
// connection that was lost can simply be made again; then new ones as they come.
func (d *Dashboard) logStream(w http.ResponseWriter, r *http.Request) {
	f := d.get(w, r)
	if f == nil {
		return
	}
	select {
	case d.tails <- struct{}{}:
		defer func() { <-d.tails }()
	default:
		d.fail(w, r, http.StatusServiceUnavailable, "Too many logs are being followed at once.")
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-d.opts.Closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	defer rc.SetWriteDeadline(time.Time{})
	choose := filterOf(r)
	send := func(event string, lines []logs.Line) error {
		out := make([]sentLine, 0, len(lines))
		for _, l := range lines {
			out = append(out, sentLine{l.Time, l.Time.Local().Format("15:04:05.000"), l.Instance, l.Stream, l.Text})
		}
		text, err := json.Marshal(out)
		if err != nil {
			return err
		}
		rc.SetWriteDeadline(time.Now().Add(tailTimeout))
		var b bytes.Buffer
		b.WriteString("event: " + event + "\ndata: ")
		b.Write(text)
		b.WriteString("\n\n")
		if _, err := w.Write(b.Bytes()); err != nil {
			return err
		}
		return rc.Flush()
	}
	query := logs.Query{Instance: choose.Instance, Tail: -1}
	event := "all"
	if len(d.opts.Control.Logs(f.Name, query)) == 0 { // Follow would not say so
		if send(event, nil) != nil {
			return
		}
		event = "more"
	}
	d.opts.Control.FollowLogs(ctx, f.Name, query, func(lines []logs.Line) error {
		lines = choose.choose(lines)
		if event == "more" && len(lines) == 0 {
			return nil
		}
		kind := event
		event = "more"
		return send(kind, lines)
	})
}
