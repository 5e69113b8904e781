// SPDX-License-Identifier: Apache-2.0

package up

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
)

// serve is a program that answers, slowly if it is told to.
const serve = `package main

import ("fmt"; "net/http"; "os"; "time")

func main() {
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/until" { // a file is there
			fmt.Fprint(w, "began ")
			w.(http.Flusher).Flush()
			for { if _, err := os.Stat(r.URL.RawQuery); err == nil { break }; time.Sleep(5*time.Millisecond) }
		}
		fmt.Fprint(w, "done")
	}))
}
`

// output is what a node prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// TestOperations: a node as an operator sees it, from its start by systemd until it has drained.
func TestOperations(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "serve")
	if err := os.WriteFile(program+".go", []byte(serve), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", program, program+".go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "notify"))
	t.Setenv("WATCHDOG_USEC", "300000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	told := make(chan string, 1000)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := systemd.Read(buf)
			if err != nil {
				close(told)
				return
			}
			told <- string(buf[:n])
		}
	}()
	tell := func(want string) {
		t.Helper()
		for limit := time.After(30 * time.Second); ; {
			select {
			case s := <-told:
				if strings.HasPrefix(s, want) {
					return
				}
			case <-limit:
				t.Fatalf("systemd was not told %s", want)
			}
		}
	}

	var stdout, stderr output
	log := filepath.Join(dir, "access.log")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	hurry := make(chan struct{})
	go func() {
		ended <- Run(ctx, Options{Listen: "127.0.0.1:0", Data: filepath.Join(dir, "data"), Monitor: "auto", Runtime: RuntimePlain, Idle: time.Minute,
			AccessLog: log, LogForm: "json", DrainDelay: time.Hour, hurry: hurry, Version: "test", Out: &stdout, Err: &stderr})
	}()
	tell("READY=1")
	tell("WATCHDOG=1")
	addr := regexp.MustCompile(`http://([0-9.:]+)`).FindStringSubmatch(stdout.String())
	if addr == nil {
		t.Fatalf("stdout: %s, stderr: %s", stdout.String(), stderr.String())
	}
	url := addr[0]
	get := func(path string) (int, string, http.Header) {
		t.Helper()
		req, _ := http.NewRequest("GET", url+path, nil)
		req.Header.Set(api.HeaderCallID, "call "+path)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		resp.Header.Set("Closed", strconv.FormatBool(resp.Close))
		return resp.StatusCode, string(text), resp.Header
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, text, _ := get(path); status != 200 || text != "ok\n" {
			t.Errorf("%s: %d %q", path, status, text)
		}
	}
	c, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	image, err := c.Upload(t.Context(), "serve", "serve", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Deploy(t.Context(), "f", api.DeployRequest{Image: image.Digest}); err != nil {
		t.Fatal(err)
	}
	if status, text, _ := get("/function/f"); status != 200 || text != "done" {
		t.Fatalf("%d %q", status, text)
	}

	// The access log goes on in a new file after it was moved away.
	eventually(t, "first line", func() bool { text, _ := os.ReadFile(log); return bytes.Contains(text, []byte("call /function/f")) })
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	unix.Kill(os.Getpid(), unix.SIGHUP)
	eventually(t, "new file", func() bool { _, err := os.Stat(log); return err == nil })

	// A request that is under way when the node is told to stop.
	release := filepath.Join(dir, "release")
	long, err := http.Get(url + "/function/f/until?" + release)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Body.Close()
	stop()
	tell("STOPPING=1")
	eventually(t, "not ready", func() bool { status, _, _ := get("/readyz"); return status == 503 })
	if status, _, _ := get("/healthz"); status != 200 {
		t.Errorf("a node that drains is not healthy: %d", status)
	}
	if status, text, header := get("/function/f/late"); status != 200 || text != "done" || header.Get("Closed") != "true" {
		t.Errorf("before the end of the delay: %d %q, connection closed: %s", status, text, header.Get("Closed"))
	}
	close(hurry)
	eventually(t, "no new connections", func() bool {
		conn, err := net.Dial("tcp", addr[1])
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, unix.ECONNREFUSED)
	})
	select {
	case err := <-ended:
		t.Fatalf("it did not wait for what ran: %v", err)
	default:
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(long.Body); err != nil || string(text) != "began done" {
		t.Errorf("the one that was under way: %q %v", text, err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	for line := range strings.Lines(stderr.String()) {
		var m struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Msg == "" {
			t.Errorf("%q: %v", line, err)
		}
	}
	text, err := os.ReadFile(log)
	if err != nil || !bytes.Contains(text, []byte(`"request":"call /function/f/late","function":"f","method":"GET","status":200`)) {
		t.Errorf("access log: %s %v", text, err)
	}
}

func TestCheckOperations(t *testing.T) {
	good := Options{Listen: "127.0.0.1:0", Monitor: "auto", Inflight: 1, Queue: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Options{{LogForm: "xml"}, {DrainDelay: -1}, {Drain: -1}} {
		bad.Listen, bad.Monitor, bad.Inflight, bad.Queue = good.Listen, good.Monitor, good.Inflight, good.Queue
		if bad.Check() == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}
