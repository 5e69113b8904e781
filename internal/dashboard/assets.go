// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
	"time"

	"unifaas.dev/internal/units"
)

//go:embed templates static
var files embed.FS

// asset is a file that pages refer to by a name that changes with its content.
type asset struct {
	kind string
	body []byte
	at   string // path below /ui
}

func loadAssets() map[string]asset {
	all := map[string]asset{}
	entries, err := files.ReadDir("static")
	if err != nil {
		panic(err) // it is part of this program
	}
	for _, e := range entries {
		b, err := files.ReadFile("static/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(b)
		kind := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}[path.Ext(e.Name())]
		all[e.Name()] = asset{kind: kind, body: b, at: "/ui/static/" + e.Name() + "?v=" + hex.EncodeToString(sum[:6])}
	}
	return all
}

func (d *Dashboard) static(w http.ResponseWriter, r *http.Request) {
	a, ok := d.assets[r.PathValue("name")]
	if !ok {
		d.fail(w, r, http.StatusNotFound, "There is no such file.")
		return
	}
	w.Header().Set("Content-Type", a.kind)
	if r.URL.RawQuery != "" {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	w.Write(a.body)
}

// loadPages parses each page together with what all have.
func (d *Dashboard) loadPages() map[string]*template.Template {
	funcs := template.FuncMap{
		"asset":    func(name string) string { return d.assets[name].at },
		"bytes":    units.HumanBytes,
		"exact":    units.FormatBytes,
		"duration": units.FormatDuration,
		"age":      func(t time.Time) string { return units.Since(time.Since(t)) },
		"stamp":    func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") },
		"clock":    func(t time.Time) string { return t.Local().Format("15:04:05.000") },
		"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"latency":  latency,
		"us":       func(n int64) string { return latency(time.Duration(n) * time.Microsecond) },
		"short": func(digest string) string {
			return strings.TrimPrefix(digest, "sha256:")[:min(12, len(strings.TrimPrefix(digest, "sha256:")))]
		},
		"count": func(n any) string { return count(fmt.Sprint(n)) },
		"add":   func(a, b int) int { return a + b },
	}
	pages := map[string]*template.Template{}
	for _, name := range []string{"overview", "function", "logs", "invoke", "configure", "deploy", "images", "node", "queue", "secrets", "error"} {
		pages[name] = template.Must(template.New("layout").Funcs(funcs).ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/"+name+".html"))
	}
	return pages
}

// latency prints a time with three digits: 0.42 ms, 12.3 ms, 1.20 s.
func latency(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case d <= 0:
		return "–"
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2f s", ms/1000)
}

// count prints a number in groups of three digits.
func count(s string) string {
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}
