// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/testkit"
)

// postText calls a function with a body.
func postText(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "text/plain", strings.NewReader(body))
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

// TestNew: what `unifaas new` writes in each language passes its own test, is deployed as it is, answers, and says so in its log;
// then `unifaas dev` follows a change, a mistake and its repair, and takes away what it deployed.
func TestNew(t *testing.T) {
	n := start(t)
	exe := testkit.Unifaas(t)
	dir := t.TempDir()
	unifaas := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), exe, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), client.AddressEnv+"=http://"+n.Addr, "GOFLAGS=-mod=mod", "GOWORK=off")
		return cmd
	}
	run := func(cmd *exec.Cmd) string {
		t.Helper()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
		return string(out)
	}
	for lang, test := range map[string][]string{"go": {"go", "test", "."}, "python": {"python3", "-m", "unittest"}, "node": {"node", "--test"}, "c": nil} {
		name := "my-" + lang
		run(unifaas("new", "--lang", lang, name))
		if test != nil {
			cmd := unifaas()
			cmd.Path, cmd.Args, cmd.Dir = testkit.NeedTool(t, test[0]), test, filepath.Join(dir, name)
			run(cmd)
		}
		run(unifaas("deploy", name, "./"+name))
		if code, body := postText(t, n.URL(name), "unikernel"); code != http.StatusOK || body != "Hello, unikernel!\n" {
			t.Errorf("%s: %d %q", lang, code, body)
		}
		if code, body := postText(t, n.URL(name), ""); code != http.StatusOK || body != "Hello, world!\n" {
			t.Errorf("%s without a body: %d %q", lang, code, body)
		}
		logs(t, n, name, "9 bytes")
	}
	if out, err := unifaas("new", "--lang", "go", "my-go").CombinedOutput(); err == nil || !strings.Contains(string(out), "there is something in this folder") {
		t.Errorf("over what is there: %v %s", err, out)
	}
	if out, err := unifaas("new", "my-other").CombinedOutput(); err == nil || !strings.Contains(string(out), "choose a language") {
		t.Errorf("without a language: %v %s", err, out)
	}

	var said saidSoFar
	cmd := unifaas("dev", "followed", "./my-python", "--rm")
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	answers := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			code, body := postText(t, n.URL("followed"), "x")
			if code == http.StatusOK && body == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d %q, want %q; dev says:\n%s", code, body, want, said.String())
			}
		}
	}
	source := filepath.Join(dir, "my-python", "handler.py")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(source, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	answers("Hello, x!\n")
	write(bytes.ReplaceAll(text, []byte("Hello"), []byte("Goodbye")))
	answers("Goodbye, x!\n")
	write([]byte("this is no Python\n"))
	said.wait(t, "SyntaxError") // of the revision that failed, in the log
	answers("Goodbye, x!\n")
	write(bytes.ReplaceAll(text, []byte("Hello"), []byte("Welcome")))
	answers("Welcome, x!\n")
	said.wait(t, "POST /, 1 bytes")
	cmd.Process.Signal(syscall.SIGINT)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("dev ended with %v:\n%s", err, said.String())
		}
	case <-time.After(time.Minute):
		t.Fatalf("dev does not end:\n%s", said.String())
	}
	if code, _ := postText(t, n.URL("followed"), "x"); code != http.StatusNotFound {
		t.Errorf("after the end of dev --rm: %d, want 404", code)
	}
}

// saidSoFar is what a process has printed.
type saidSoFar struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *saidSoFar) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *saidSoFar) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *saidSoFar) wait(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.String(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not say %q:\n%s", text, s.String())
		}
	}
}
