// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// counting answers which instance came to what.
func counting(w http.ResponseWriter, r *http.Request) {
	g := nodetest.Self(r)
	fmt.Fprintf(w, "%s %d", g.ID, g.Value.Add(1))
}

func (g *rig) get(path, instance string) (int, string, http.Header) {
	g.Helper()
	req, err := http.NewRequest(http.MethodGet, g.url+path, nil)
	if err != nil {
		g.Fatal(err)
	}
	if instance != "" {
		req.Header.Set(api.HeaderInstance, instance)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

func TestParkedInstances(t *testing.T) {
	g := start(t, counting, node.Options{Snapshots: &nodetest.Snapshots{}, Park: time.Hour})
	g.run.Snapshots = true
	ctx := context.Background()
	two := 2
	g.deploy("f", api.DeployRequest{Min: &two})
	var list []api.Instance
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var err error
		if list, err = g.Instances(ctx, "f"); err != nil {
			t.Fatal(err)
		}
		if len(list) == 2 && list[0].State == "ready" && list[1].State == "ready" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", list)
		}
	}
	for round := 1; round <= 3; round++ {
		for _, i := range list {
			status, text, head := g.get("/function/f", i.ID)
			if want := fmt.Sprint(i.ID, " ", round); status != 200 || text != want || head.Get(api.HeaderInstance) != i.ID {
				t.Errorf("%d %q from %s, want %q", status, text, head.Get(api.HeaderInstance), want)
			}
		}
		// An invocation is over a little later than its answer.
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			running, err := g.Park(ctx, "f")
			if running == 0 && err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d run, %v", running, err)
			}
		}
	}
	if status, text, _ := g.get("/function/f", "nosuch"); status != 404 || !strings.Contains(text, "there is no instance nosuch") {
		t.Errorf("%d %q", status, text)
	}
	d, err := g.Describe(ctx, "f")
	if err != nil || d.Parked != 2 || d.Ready != 0 || d.ParkedMemory != 8192 || d.Snapshot == 0 || d.Parks != 6 || d.Wakes != 4 || len(d.Instances) != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	if some, err := g.SomeInstances(ctx, "f", 1); err != nil || len(some) != 0 {
		t.Errorf("with more than one parked: %+v, %v", some, err)
	}
	if some, err := g.SomeInstances(ctx, "", 2); err != nil || len(some) != 2 || some[0].State != "parked" || some[0].Private == 0 {
		t.Errorf("with two parked: %+v, %v", some, err)
	}
	m, err := g.Memory(ctx)
	if err != nil || len(m.Tenders) != 1 || m.Tenders[0].Parked != 2 || m.Tenders[0].ParkedMemory != 8192 || m.Tenders[0].Function != "f" || m.Snapshots != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	status, text, head := g.get("/metrics", "")
	if status != 200 || !strings.HasPrefix(head.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%d %v", status, head)
	}
	for _, want := range []string{
		"# TYPE unifaas_instances gauge\n",
		"unifaas_instances{function=\"f\",state=\"parked\"} 2\n",
		"unifaas_invocations_total{function=\"f\"} 6\n",
		"unifaas_wakes_total{function=\"f\"} 4\n",
		"unifaas_memory_bytes{function=\"f\",of=\"parked\",revision=\"f-00001\"} 8192\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %q:\n%s", want, text)
		}
	}
	if _, err := g.Scale(ctx, "f", 0); err != nil {
		t.Fatal(err)
	}
	if d, err := g.Describe(ctx, "f"); err != nil || d.Parked != 0 || d.ParkedMemory != 0 {
		t.Errorf("scaled to nothing: %+v, %v", d, err)
	}
	if err := g.Dismiss(ctx, "f"); err != nil || g.run.Running.Load() != 0 {
		t.Errorf("%v, %d tenders", err, g.run.Running.Load())
	}
	for _, err := range []error{g.Dismiss(ctx, "nosuch"), func() error { _, err := g.Park(ctx, "nosuch"); return err }()} {
		if err == nil || !strings.Contains(err.Error(), "not deployed") {
			t.Error(err)
		}
	}
}

func TestRewindIsolation(t *testing.T) {
	g := start(t, counting, node.Options{Snapshots: &nodetest.Snapshots{}})
	g.run.Snapshots = true
	g.deploy("f", api.DeployRequest{Isolation: "rewind"})
	for range 5 {
		if status, text, _ := g.get("/function/f", ""); status != 200 || !strings.HasSuffix(text, " 1") {
			t.Errorf("%d %q", status, text)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		d, err := g.Describe(context.Background(), "f")
		if err != nil {
			t.Fatal(err)
		}
		if d.Rewinds == 5 && d.RewindPages == 15 && d.Cold == 1 && d.Revision.Concurrency == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", d)
		}
	}
}
