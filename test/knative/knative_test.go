// SPDX-License-Identifier: Apache-2.0

// Package knative deploys container images on a real node and tries what the container contract of Knative and Cloud Run promises them, also while one
// revision follows the other.
package knative

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/testkit"
)

func start(t *testing.T) *childnode.Node {
	t.Helper()
	testkit.NeedKVM(t)
	n, err := childnode.Start(context.Background(), testkit.Unifaas(t), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop() })
	return n
}

// archive is a container image with one static program of this module, as docker save writes it.
func archive(t *testing.T, pkg string) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "service")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, pkg)
	cmd.Dir = testkit.Root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, text)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "service", Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	w.Close()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = "linux", "amd64"
	cf.Config = v1.Config{Entrypoint: []string{"/service"}}
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "image.tar")
	ref, err := name.ParseReference("example.com/service:v1")
	if err == nil {
		err = tarball.WriteToFile(out, ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func text(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// said waits until a function's log has a text.
func said(t *testing.T, n *childnode.Node, function, want string) {
	t.Helper()
	var b strings.Builder
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		b.Reset()
		if err := n.Client.Logs(t.Context(), client.LogQuery{Function: function, Tail: -1}, func(l api.LogLine) error {
			fmt.Fprintln(&b, l.Text)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), want) {
			return
		}
	}
	t.Errorf("the log of %s never has %q:\n%s", function, want, &b)
}

func ptr[T any](v T) *T { return &v }

// TestExample deploys the example as its README says.
func TestExample(t *testing.T) {
	n := start(t)
	file := archive(t, "./examples/knative-hello")
	if err := n.Deploy(t.Context(), "hello", file, api.DeployRequest{Env: map[string]string{"TARGET": "Ada"}, Readiness: ptr("/readyz")}); err != nil {
		t.Fatal(err)
	}
	if status, got := text(t, n.URL("hello")); status != 200 || got != "Hello Ada from hello, revision hello-00001\n" {
		t.Errorf("%d %q", status, got)
	}
	if err := n.Client.Remove(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	n := start(t)
	file := archive(t, "./test/knative/program")
	timeout := (2 * time.Minute).Milliseconds()
	one := api.DeployRequest{TimeoutMS: &timeout, Env: map[string]string{"READY_AFTER": "300ms", "VERSION": "1"}, Readiness: ptr("/ready"), Liveness: ptr("/live"),
		Concurrency: ptr(0), Max: ptr(1), Min: ptr(1)}
	if err := n.Deploy(t.Context(), "service", file, one); err != nil {
		t.Fatal(err)
	}

	t.Run("environment", func(t *testing.T) {
		req, _ := http.NewRequest("GET", "http://"+n.Addr+"/about", nil)
		req.Host = "service.function.localhost"
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		for k, want := range map[string]any{"stdin": "0 bytes, <nil>", "port": "8080", "service": "service", "revision": "service-00001", "configuration": "service",
			"ready": true, "proto": "HTTP/1.1", "host": "service.function.localhost", "forwarded": `for=127.0.0.1;host="service.function.localhost";proto=http`} {
			if got[k] != want {
				t.Errorf("%s is %q, want %q", k, got[k], want)
			}
		}
	})

	t.Run("no limit", func(t *testing.T) {
		var all sync.WaitGroup
		for range 60 { // more than the default, in the one instance that there may be
			all.Go(func() {
				if resp, err := http.Get(n.URL("service") + "slow"); err != nil || resp.StatusCode != 200 {
					t.Errorf("%v %v", resp, err)
				} else {
					resp.Body.Close()
				}
			})
		}
		all.Wait()
	})

	t.Run("upgrade", func(t *testing.T) {
		c, err := net.Dial("tcp", n.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprint(c, "GET /socket HTTP/1.1\r\nHost: service.function.localhost\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v %v", resp, err)
		}
		for range 3 {
			fmt.Fprint(c, "a line\n")
			if line, err := r.ReadString('\n'); err != nil || line != "A LINE\n" {
				t.Errorf("%q %v", line, err)
			}
		}
	})

	t.Run("gRPC", func(t *testing.T) {
		c, err := grpc.NewClient("passthrough:///"+n.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("service.function.localhost"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		h := grpc_health_v1.NewHealthClient(c)
		for range 20 {
			if r, err := h.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil || r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
				t.Fatalf("%v %v", r, err)
			}
		}
		if _, err := h.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "nobody"}); err == nil || !strings.Contains(err.Error(), "NotFound") {
			t.Errorf("an error of the function's: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w, err := h.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := w.Recv(); err != nil || r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("stream: %v %v", r, err)
		}
	})

	t.Run("CloudEvents", func(t *testing.T) {
		c, err := cloudevents.NewClientHTTP(cloudevents.WithTarget(n.URL("service") + "event"))
		if err != nil {
			t.Fatal(err)
		}
		for kind, ctx := range map[string]context.Context{"binary": cloudevents.WithEncodingBinary(t.Context()), "structured": cloudevents.WithEncodingStructured(t.Context())} {
			e := cloudevents.NewEvent()
			e.SetID("7 of \"9\" ü")
			e.SetSource("test/" + kind)
			e.SetType("dev.unifaas.test")
			e.SetSubject("100 %")
			e.SetExtension("tenant", "x")
			if err := e.SetData(cloudevents.ApplicationJSON, map[string]int{"n": 1}); err != nil {
				t.Fatal(err)
			}
			got, result := c.Request(ctx, e)
			if !cloudevents.IsACK(result) || got == nil {
				t.Errorf("%s: %v %v", kind, got, result)
				continue
			}
			if got.Type() != "dev.unifaas.test.seen" || got.Source() != "function/service" || got.ID() != e.ID() || got.Subject() != e.Subject() ||
				got.Extensions()["tenant"] != "x" || string(got.Data()) != `{"n":1}` {
				t.Errorf("%s: %v", kind, got)
			}
		}
		batch := `[{"specversion":"1.0","id":"1","source":"a","type":"t"},{"specversion":"1.0","id":"2","source":"a","type":"t"}]`
		resp, err := http.Post(n.URL("service")+"batch", "application/cloudevents-batch+json", strings.NewReader(batch))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, _ := io.ReadAll(resp.Body); string(b) != "2 <nil>" {
			t.Errorf("batch: %q", b)
		}
	})

	t.Run("rolling update", func(t *testing.T) {
		stop := make(chan struct{})
		var all sync.WaitGroup
		var calls atomic.Int64
		for range 8 {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					resp, err := http.Post(n.URL("service")+"slow", "text/plain", strings.NewReader("x"))
					if calls.Add(1); err != nil {
						t.Errorf("lost: %v", err)
						return
					}
					b, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || resp.StatusCode != 200 || len(b) != 1 {
						t.Errorf("lost: %d %q %v", resp.StatusCode, b, err)
						return
					}
				}
			})
		}
		for version := range 5 {
			env := map[string]string{"READY_AFTER": "200ms", "VERSION": fmt.Sprint(version + 2)}
			if version == 2 {
				env["FAIL"] = "1"
			}
			r, err := n.Client.Deploy(t.Context(), "service", api.DeployRequest{Env: env})
			if err != nil {
				t.Fatal(err)
			}
			_, err = n.Client.AwaitServed(t.Context(), "service", r.Wanted.Number)
			if version == 2 {
				if err == nil || !strings.Contains(err.Error(), "service-00004 failed: cannot start: ") || !strings.Contains(err.Error(), "service-00003 goes on") {
					t.Errorf("a bad revision: %v", err)
				}
				continue
			}
			if err != nil {
				t.Errorf("revision %d: %v", r.Wanted.Number, err)
			}
			if _, got := text(t, n.URL("service")+"slow"); got != env["VERSION"] {
				t.Errorf("revision %d answers %q", r.Wanted.Number, got)
			}
		}
		r, err := n.Client.Rollback(t.Context(), "service", 1)
		if err == nil {
			_, err = n.Client.AwaitServed(t.Context(), "service", r.Wanted.Number)
		}
		if _, got := text(t, n.URL("service")+"slow"); err != nil || got != "1" {
			t.Errorf("rolled back: %q %v", got, err)
		}
		close(stop)
		all.Wait()
		if calls.Load() < 20 {
			t.Errorf("only %d calls", calls.Load())
		}
		said(t, n, "service", "SIGTERM came")
		said(t, n, "service", "all is put away")
	})
}

// TestNeverReady: the revision fails, and says what it waited for.
func TestNeverReady(t *testing.T) {
	n := start(t)
	file := archive(t, "./test/knative/program")
	for _, isolation := range []string{"reuse", "rewind"} {
		name := "never-" + isolation
		if err := n.Deploy(t.Context(), name, file, api.DeployRequest{Readiness: ptr("/ready"), StartupMS: ptr(int64(1500)), Isolation: isolation}); err != nil {
			t.Fatal(err)
		}
		r, err := n.Client.Await(t.Context(), name, 1)
		if err != nil || r.State != "failed" || !strings.Contains(r.Reason, "readiness probe GET /ready: status 503, for 1.5s") {
			t.Errorf("%s: %+v %v", isolation, r, err)
		}
	}
}
