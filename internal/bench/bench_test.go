// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"unifaas.dev/guest"
	"unifaas.dev/internal/testkit"
)

func TestQuantile(t *testing.T) {
	s := samples{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.99: 5, 1: 5, 0.2: 1, 0.21: 2} {
		if got := s.quantile(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

func TestRound(t *testing.T) {
	for in, want := range map[float64]float64{0: 0, 1.23456: 1.235, 123456.7: 123457, 0.00123456: 0.001235, 99999: 99999} {
		if got := round(in); got != want {
			t.Errorf("round %v is %v, want %v", in, got, want)
		}
	}
}

// TestJSON holds the form that others read.
func TestJSON(t *testing.T) {
	r := Result{Suite: "start", Rows: complete([]Row{
		samples{3, 1, 2}.row("c-hello", KVM, "boot", "us"),
		skipped("c-hello", Runc, "boot", "not here"),
	})}
	b, err := json.Marshal(r.Rows)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"case":"c-hello","system":"unifaas-kvm","metric":"boot","unit":"us","p50":2,"p99":3,"n":3},` +
		`{"case":"c-hello","system":"unifaas-process","metric":"boot","skipped":"the process monitor is not in this version"},` +
		`{"case":"c-hello","system":"runc","metric":"boot","skipped":"not here"},` +
		`{"case":"c-hello","system":"linuxvm","metric":"boot","skipped":"Linux virtual machines are not in this version"}]`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestPrintAndHTML(t *testing.T) {
	r := &Result{Suite: "<suite>", Rows: complete([]Row{
		samples{2000}.row("a", KVM, "boot", "us"), samples{1000}.row("a", Process, "boot", "us"), skipped("a", Runc, "boot", "no runc"),
		skipped("b", KVM, "boot", "later"),
	})}
	var text, html bytes.Buffer
	if err := Print(&text, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 ms", "1 ms", "runc: no runc", "unifaas-kvm: later (b boot)"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, &text)
		}
	}
	if err := HTML(&html, r); err != nil {
		t.Fatal(err)
	}
	if h := html.String(); strings.Contains(h, "<suite>") || !strings.Contains(h, "no runc") || !strings.Contains(h, "2 ×") {
		t.Errorf("page: %s", h)
	}
}

func TestUnknownSuite(t *testing.T) {
	if _, err := Run(context.Background(), Options{Suite: "speed"}); err == nil || !strings.Contains(err.Error(), "start, syscall, warm") {
		t.Errorf("error %v", err)
	}
	if _, err := Run(context.Background(), Options{Suite: "compute", Programs: []string{t.TempDir()}}); err == nil || !strings.Contains(err.Error(), "--programs") {
		t.Errorf("without programs: %v", err)
	}
}

// figures are rows that a suite must have on a machine with everything, as root.
func figures() map[string][]string {
	all := map[string][]string{}
	add := func(suite, metric string, systems []string, cases ...string) {
		for _, c := range cases {
			for _, s := range systems {
				all[suite] = append(all[suite], c+" "+s+" "+metric)
			}
		}
	}
	two, three := []string{KVM, Process}, []string{KVM, Process, Runc}
	add("start", "boot", three, httpCases()...)
	add("start", "cold", two, httpCases()...)
	add("start", "cold_new_tender", []string{KVM}, httpCases()...)
	for _, m := range rewindMetrics {
		add("rewind", m, []string{KVM}, httpCases()...)
	}
	add("rewind", "throughput", []string{Runc}, httpCases()...)
	add("density", "live_bytes", two, densityCases()...)
	for _, m := range parkedMetrics {
		add("density", m, []string{KVM}, densityCases()...)
	}
	for _, c := range httpCases() {
		add("warm", "latency", two, c+"/1", c+"/16")
		add("warm", "throughput", two, c+"/1", c+"/16")
	}
	for _, m := range gatewayMetrics() {
		add("gateway", m.name, two, "c-hello/1", "c-hello/16")
	}
	add("syscall", "latency", two, "getpid", "read", "write", "futex", "pipe_pingpong", "mmap_touch", "clock_gettime")
	add("proc", "latency", two, "fork", "fork_exec_wait", "thread_create", "context_switch")
	add("compute", "latency", two, "sha256", "sort", "matmul", "json")
	add("footprint", "libos_bytes", []string{KVM}, "c-hello")
	add("footprint", "guest_overhead_bytes", []string{KVM}, "c-hello")
	add("footprint", "image_overhead", []string{KVM}, "c-hello", "go-hello", "thumbnail", "python-hello", "python-numpy", "node-hello", "node-json", "shell")
	return all
}

// TestSuites runs every suite as small as it goes: it works, no time is judged.
func TestSuites(t *testing.T) {
	if testing.Short() {
		t.Skip("starts nodes")
	}
	testkit.NeedKVM(t)
	exe := testkit.Unifaas(t)
	testkit.Built(t, "build/examples/c-hello", "examples")
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			r, err := Run(t.Context(), Options{Suite: name, Exe: exe, Programs: Folders(exe), Small: true, Libos: guest.Libos()})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range figures()[name] {
				if !slices.ContainsFunc(r.Rows, func(r Row) bool { return r.Skipped == "" && r.Case+" "+r.System+" "+r.Metric == want }) {
					t.Errorf("no figure of %s: %+v", want, r.Rows)
				}
			}
			for _, row := range r.Rows {
				if row.Metric == "added" || row.Metric == "parked_bytes" {
					continue // differences, which may be anything in a small run
				}
				if name == "gateway" && row.Metric == "cpu" {
					continue // the kernel counts it in hundredths of a second, which a small run may not take
				}
				if row.Skipped == "" && (row.P50 <= 0 || row.P99 <= 0 || row.N < 1 || row.Unit == "") {
					t.Errorf("row %+v", row)
				}
			}
		})
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
