// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// scrape reads /metrics as Prometheus does.
func (g *rig) scrape() map[string]*dto.MetricFamily {
	g.Helper()
	resp, text := g.do("GET", "/metrics", "", "Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	if resp.StatusCode != http.StatusOK {
		g.Fatalf("%s: %s", resp.Status, text)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		g.Fatalf("%v in:\n%s", err, text)
	}
	return families
}

// number is the value, or the count of a histogram, of the metric with these labels; -1: there is none.
func number(families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	for _, m := range families[name].GetMetric() {
		have := map[string]string{}
		for _, l := range m.Label {
			have[l.GetName()] = l.GetValue()
		}
		same := len(have) == len(labels)/2
		for i := 0; i < len(labels); i += 2 {
			same = same && have[labels[i]] == labels[i+1]
		}
		switch {
		case !same:
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount())
		case m.Counter != nil:
			return m.Counter.GetValue()
		default:
			return m.Gauge.GetValue()
		}
	}
	return -1
}

func TestMetrics(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
		case "/odd":
			w.WriteHeader(577) // a status that nobody has heard of
		case "/half":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("half"))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/crash":
			io.Copy(io.Discard, r.Body)
			nodetest.Self(r).End(node.Exit{Kind: node.ExitSignal, Status: 139, Reason: "signal 11"})
			<-r.Context().Done()
		}
	}, node.Options{})
	g.deploy("f", api.DeployRequest{})
	g.deploy("idle", api.DeployRequest{})
	for _, path := range []string{"", "", "/teapot", "/odd", "/crash"} {
		g.do("POST", "/function/f"+path, "x")
	}
	if resp, err := http.Get(g.url + "/function/f/half"); err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	for range 3 {
		g.do("GET", "/function/made-up-"+strings.Repeat("x", 5), "")
	}
	var m map[string]*dto.MetricFamily
	want := []struct {
		value  float64
		name   string
		labels []string
	}{
		{2, "unifaas_requests_total", []string{"function", "f", "code", "200"}},
		{2, "gateway_function_invocation_total", []string{"function_name", "f", "code", "200"}},
		{1, "unifaas_requests_total", []string{"function", "f", "code", "418"}},
		{1, "unifaas_requests_total", []string{"function", "f", "code", "500"}},
		{-1, "unifaas_requests_total", []string{"function", "f", "code", "577"}},
		{1, "unifaas_requests_total", []string{"function", "f", "code", "502"}},
		{1, "unifaas_requests_total", []string{"function", "f", "code", "0"}},
		{6, "unifaas_request_seconds", []string{"function", "f"}},
		{6, "gateway_functions_seconds", []string{"function_name", "f"}},
		{0, "unifaas_requests_in_flight", []string{"function", "f"}},
		{3, "unifaas_unknown_requests_total", nil},
		{2, "unifaas_start_seconds", []string{"function", "f", "origin", "boot"}},
		{3, "unifaas_start_part_seconds", []string{"origin", "boot", "part", "libos"}},
		{1, "unifaas_exits_total", []string{"function", "f", "kind", "signal"}},
		{2, "unifaas_functions", nil},
		{1, "unifaas_instances", []string{"function", "idle", "state", "ready"}},
		{1, "unifaas_crashes_total", []string{"function", "f"}},
		{1, "unifaas_info", []string{"version", "test", "runtime", "test"}},
	}
	wrong := func() (list []string) {
		m = g.scrape()
		for _, w := range want {
			if got := number(m, w.name, w.labels...); got != w.value {
				list = append(list, strings.Join(append([]string{w.name}, w.labels...), " "))
			}
		}
		return list
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) { // an answer is counted after it was sent
		list := wrong()
		if len(list) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("not as wanted: %q", list)
			break
		}
	}
	for _, name := range []string{"process_cpu_seconds_total", "go_memstats_mallocs_total", "unifaas_memory_bytes", "unifaas_memory_used_bytes"} {
		if m[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	if n := number(m, "unifaas_start_seconds", "function", "idle", "origin", "boot"); n != 1 {
		t.Errorf("a function that nobody called has started %v times, want once, when it was deployed", n)
	}
	// What is gone leaves no series behind.
	g.Remove(t.Context(), "f")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if m = g.scrape(); number(m, "unifaas_request_seconds", "function", "f") == -1 && number(m, "unifaas_instances", "function", "f", "state", "ready") == -1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a removed function is still shown")
		}
	}
}
