// SPDX-License-Identifier: Apache-2.0

// Package openfaas deploys an image with a watchdog inside on a real node, with the stack file of examples/openfaas-hello.
package openfaas

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/testkit"
)

// build makes a static program of a package of this module.
func build(t *testing.T, pkg string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Dir = testkit.Root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// push gives a registry the image that the example's Dockerfile describes.
func push(t *testing.T, ref string) {
	t.Helper()
	passwd, err := os.ReadFile(filepath.Join(testkit.Root(t), "examples/openfaas-hello/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	img := empty.Image
	for _, files := range []map[string][]byte{
		{"usr/bin/fwatchdog": build(t, "./test/openfaas/watchdog")},
		{"home/app/handler": build(t, "./examples/openfaas-hello"), "etc/passwd": passwd},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for name, data := range files {
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
				t.Fatal(err)
			}
			w.Write(data)
		}
		w.Close()
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = "linux", "amd64"
	cf.Config = v1.Config{Cmd: []string{"fwatchdog"}, User: "app", WorkingDir: "/home/app", ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Env: []string{"PATH=/usr/bin", "fprocess=./handler", "mode=http", "upstream_url=http://127.0.0.1:8082", "exec_timeout=10s"}}
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		t.Fatal(err)
	}
	r, err := name.ParseReference(ref)
	if err == nil {
		err = remote.Write(r, img)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatchdogImage(t *testing.T) {
	testkit.NeedKVM(t)
	reg := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer reg.Close()
	prefix := strings.TrimPrefix(reg.URL, "http://") + "/team"
	push(t, prefix+"/openfaas-hello:latest")
	n, err := childnode.Start(context.Background(), testkit.Unifaas(t), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop() })
	if err := n.Client.CreateSecret(t.Context(), api.FunctionSecret{Name: "greeting", Value: "Servus\n"}); err != nil {
		t.Fatal(err)
	}
	call := func(function, body string) (int, string) {
		t.Helper()
		resp, err := http.Post("http://"+n.Addr+"/function/"+function, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return resp.StatusCode, string(text)
	}

	cmd := exec.Command(testkit.Unifaas(t), "deploy", "-f", filepath.Join(testkit.Root(t), "examples/openfaas-hello/stack.yml"))
	cmd.Env = append(os.Environ(), "OPENFAAS_PREFIX="+prefix, "OPENFAAS_URL=http://"+n.Addr)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "openfaas-hello: deployed") {
		t.Fatalf("%v: %s", err, out)
	}
	if status, text := call("openfaas-hello", "Ada"); status != 200 || text != "Servus, Ada!\n" {
		t.Errorf("%d %q", status, text)
	}
	if status, _ := call("openfaas-hello/_/health", ""); status != 200 {
		t.Errorf("health: %d", status)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 10 {
				who := fmt.Sprint(i, "-", j)
				if status, text := call("openfaas-hello", who); status != 200 || text != "Servus, "+who+"!\n" {
					t.Errorf("%s: %d %q", who, status, text)
				}
			}
		})
	}
	all.Wait()

	// What a deployment says stands before what the image says.
	for _, mode := range []string{"streaming", "serializing"} {
		if _, err := n.Client.DeployOpenFaaS(t.Context(), api.FunctionDeployment{Service: mode, Image: prefix + "/openfaas-hello:latest", EnvProcess: "./handler capitals",
			EnvVars: map[string]string{"mode": mode}}); err != nil {
			t.Fatal(err)
		}
		large := strings.Repeat("all work and no play ", 20000)
		for body, want := range map[string]string{"hello": "HELLO", "": "", large: strings.ToUpper(large)} {
			if status, text := call(mode, body); status != 200 || text != want {
				t.Errorf("%s: %d, %d bytes for %d: %.80q", mode, status, len(text), len(body), text)
			}
		}
		want := map[string]int{"streaming": 200, "serializing": 500}[mode]
		if status, _ := call(mode, "fail now"); status != want {
			t.Errorf("%s of a program that fails: %d, want %d", mode, status, want)
		}
	}
	logged := false
	err = logsOf(t, n, "serializing", func(text string) bool {
		logged = logged || strings.Contains(text, "it says so: fail now")
		return logged
	})
	if !logged {
		t.Errorf("the log has not what the program said: %v", err)
	}
}

// logsOf waits for a line of a function's log.
func logsOf(t *testing.T, n *childnode.Node, function string, found func(string) bool) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+n.Addr+"/system/logs?follow=true&name="+function, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var text []byte
	for b := make([]byte, 4096); ; {
		n, err := resp.Body.Read(b)
		if text = append(text, b[:n]...); found(string(text)) || err != nil {
			return err
		}
	}
}
