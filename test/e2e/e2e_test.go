// SPDX-License-Identifier: Apache-2.0

// Package e2e tests a whole node from outside: a real `unifaas up`, real virtual machines, and functions that behave and
// that do not.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/testkit"
)

func start(t *testing.T) *childnode.Node { return startIn(t, "") }

func startIn(t *testing.T, data string) *childnode.Node {
	t.Helper()
	testkit.NeedKVM(t)
	n, err := childnode.Start(context.Background(), testkit.Unifaas(t), data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop() })
	return n
}

func misbehave(t *testing.T, n *childnode.Node, q api.DeployRequest) string {
	t.Helper()
	deploy(t, n, "misbehave", testkit.Built(t, "build/e2e/misbehave", "e2e-programs"), q)
	return "misbehave"
}

func hello(t *testing.T, n *childnode.Node, q api.DeployRequest) string {
	t.Helper()
	deploy(t, n, "hello", testkit.Built(t, "build/examples/c-hello", "examples"), q)
	return "hello"
}

func deploy(t *testing.T, n *childnode.Node, name, program string, q api.DeployRequest) {
	t.Helper()
	if err := n.Deploy(t.Context(), name, program, q); err != nil {
		t.Fatal(err)
	}
}

// get calls a function and returns status and body.
func get(t *testing.T, n *childnode.Node, name, path string) (int, string) {
	t.Helper()
	resp, err := http.Get(n.URL(name) + strings.TrimPrefix(path, "/"))
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

func wantOK(t *testing.T, n *childnode.Node, name string) {
	t.Helper()
	if code, body := get(t, n, name, "/"); code != http.StatusOK {
		t.Errorf("%s: %d %s, want 200", name, code, body)
	}
}

// logs waits until the function's log has text, and returns it all.
func logs(t *testing.T, n *childnode.Node, name, text string) string {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var b strings.Builder
		err := n.Client.Logs(t.Context(), client.LogQuery{Function: name, Tail: -1}, func(l api.LogLine) error {
			fmt.Fprintln(&b, l.Text)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), text) {
			return b.String()
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log has no %q:\n%s", text, &b)
		}
	}
}

func TestDemo(t *testing.T) {
	testkit.NeedKVM(t)
	testkit.Unifaas(t)
	testkit.Built(t, "build/examples/thumbnail", "examples")
	cmd := exec.CommandContext(t.Context(), filepath.Join(testkit.Root(t), "scripts/demo.sh"))
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"Hello from Python", "cold start", "warm start", "state", "first byte",
		"jpeg, 200 x 150", "jpeg, 64 x 48", "virtual machines are held", "nothing is left behind"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out)
		}
	}
}

// TestSequential: a thousand calls, one after the other, without one failure.
func TestSequential(t *testing.T) {
	n := start(t)
	name := hello(t, n, api.DeployRequest{})
	for i := range 1000 {
		if code, body := get(t, n, name, "/"); code != http.StatusOK || body != "Hello from a unikernel\n" {
			t.Fatalf("call %d: %d %q", i, code, body)
		}
	}
}

// TestConcurrent: two hundred calls at once, without one failure, on an empty node and on several instances.
func TestConcurrent(t *testing.T) {
	n := start(t)
	few := 4
	name := hello(t, n, api.DeployRequest{Max: &few})
	c := &http.Client{Timeout: time.Minute}
	for round := range 3 {
		var wg sync.WaitGroup
		var ok atomic.Int32
		for range 200 {
			wg.Go(func() {
				resp, err := c.Get(n.URL(name))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("%d %.100s %v", resp.StatusCode, b, err)
					return
				}
				ok.Add(1)
			})
		}
		wg.Wait()
		if ok.Load() != 200 {
			t.Fatalf("round %d: %d of 200 calls succeeded", round, ok.Load())
		}
	}
}

func TestCrash(t *testing.T) {
	n := start(t)
	name := misbehave(t, n, api.DeployRequest{})
	wantOK(t, n, name)
	code, body := get(t, n, name, "/crash")
	if code != http.StatusBadGateway || !strings.Contains(body, "SIGSEGV") {
		t.Errorf("crash: %d %q, want 502 and the signal", code, body)
	}
	log := strings.ToLower(logs(t, n, name, "rip"))
	for _, want := range []string{"about to crash", "sigsegv", "0x1234", "rsp"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
	wantOK(t, n, name)
	if code, _ := get(t, n, name, "/exit"); code != http.StatusBadGateway {
		t.Errorf("exit: %d, want 502", code)
	}
	wantOK(t, n, name)
}

// TestHalfAnswer: a program that ends within its answer breaks the connection; it does not make a short answer look whole.
func TestHalfAnswer(t *testing.T) {
	n := start(t)
	name := misbehave(t, n, api.DeployRequest{})
	resp, err := http.Get(n.URL(name) + "half")
	if err == nil {
		defer resp.Body.Close()
		b, rerr := io.ReadAll(resp.Body)
		if rerr == nil && resp.StatusCode == http.StatusOK {
			t.Errorf("half an answer came as a whole one: %q", b)
		}
	}
	wantOK(t, n, name)
}

func TestMemoryLimit(t *testing.T) {
	n := start(t)
	memory := int64(64 << 20)
	name := misbehave(t, n, api.DeployRequest{Memory: &memory})
	code, body := get(t, n, name, "/oom")
	if code != http.StatusBadGateway || !strings.Contains(body, "memory limit 64 MiB") {
		t.Errorf("%d %q, want 502 and the limit", code, body)
	}
	logs(t, n, name, "memory limit 64 MiB")
	wantOK(t, n, name)
}

func TestTimeout(t *testing.T) {
	n := start(t)
	ms := int64(500)
	name := misbehave(t, n, api.DeployRequest{TimeoutMS: &ms})
	for _, path := range []string{"/spin", "/hang"} {
		wantOK(t, n, name)
		begin := time.Now()
		code, body := get(t, n, name, path)
		took := time.Since(begin)
		if code != http.StatusGatewayTimeout {
			t.Errorf("%s: %d %q, want 504", path, code, body)
		}
		t.Logf("%s: 504 after %v", path, took)
		if took < 400*time.Millisecond || took > 5*time.Second {
			t.Errorf("%s: 504 after %v, the limit is 500 ms", path, took)
		}
		noSpin(t, n)
	}
	wantOK(t, n, name)
}

// noSpin checks that no tender burns the CPU.
func noSpin(t *testing.T, n *childnode.Node) {
	t.Helper()
	cpu := func() (ticks int64) {
		for _, pid := range children(n.PID()) {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil {
				continue
			}
			f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
			for _, i := range []int{11, 12} { // utime, stime
				v, _ := strconv.ParseInt(f[i], 10, 64)
				ticks += v
			}
		}
		return ticks
	}
	before := cpu()
	time.Sleep(500 * time.Millisecond)
	if used := cpu() - before; used > 25 { // of 50 that a spinning vCPU uses
		t.Errorf("tenders used %d0 ms of CPU in 500 ms after the time limit", used)
	}
}

// children are the processes that a process started.
func children(pid int) []int {
	var out []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for _, s := range strings.Fields(string(b)) {
			if p, err := strconv.Atoi(s); err == nil {
				out = append(out, p)
			}
		}
	}
	return out
}

func TestTenderKilled(t *testing.T) {
	n := start(t)
	name := hello(t, n, api.DeployRequest{})
	for range 3 {
		wantOK(t, n, name)
		is, err := n.Client.Instances(t.Context(), name)
		if err != nil || len(is) == 0 {
			t.Fatalf("instances: %v %v", is, err)
		}
		for _, i := range is {
			if err := syscall.Kill(i.TenderPID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Fatal(err)
			}
		}
		wantOK(t, n, name)
	}
}

func TestNodeRestart(t *testing.T) {
	data := t.TempDir()
	n := startIn(t, data)
	env := map[string]string{"GREETING": "kept"}
	name := misbehave(t, n, api.DeployRequest{Env: env})
	if code, body := get(t, n, name, "/env"); code != http.StatusOK || body != "kept" {
		t.Errorf("before: %d %q", code, body)
	}
	old := children(n.PID())
	if len(old) == 0 {
		t.Error("the node has no tender")
	}
	n.Kill() // no chance to tidy up
	gone(t, old)
	n = startIn(t, data)
	if code, body := get(t, n, name, "/env"); code != http.StatusOK || body != "kept" {
		t.Errorf("after a crash of the node: %d %q", code, body)
	}
	old = children(n.PID())
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	gone(t, old)
	n = startIn(t, data)
	if code, body := get(t, n, name, "/env"); code != http.StatusOK || body != "kept" {
		t.Errorf("after a restart: %d %q", code, body)
	}
}

// gone waits until none of the processes is there.
func gone(t *testing.T, pids []int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var left []int
		for _, p := range pids {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p)); err == nil && !strings.Contains(string(b), ") Z ") {
				left = append(left, p)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes %v are left behind", left)
		}
	}
}

// TestSIGTERM: what runs is finished, then everything ends.
func TestSIGTERM(t *testing.T) {
	n := start(t)
	deploy(t, n, "thumbnail", testkit.Built(t, "build/examples/thumbnail", "examples"), api.DeployRequest{})
	name := hello(t, n, api.DeployRequest{})
	wantOK(t, n, name)
	tenders := children(n.PID())
	done := make(chan error, 1)
	go func() {
		resp, err := http.Get(n.URL("thumbnail")) // a cold start is under way when the signal comes
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		done <- err
	}()
	time.Sleep(30 * time.Millisecond)
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("a request that was running: %v", err)
	}
	gone(t, tenders)
}
