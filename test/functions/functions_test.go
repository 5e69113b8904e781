// SPDX-License-Identifier: Apache-2.0

// Package functions tries what the language runtimes bring along: each function of testdata serves checks, and what a check
// prints through the gateway, in a unikernel, is compared with what the same program prints as a process of this machine.
package functions

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/testkit"
)

// runtime is a language runtime with the function that tries it.
type runtime struct {
	name    string
	command []string // as a process of this machine
	checks  []string
}

func runtimes(t *testing.T) []runtime {
	t.Helper()
	return []runtime{
		{"python", []string{"/usr/bin/python3.11", "app.py"}, []string{"json", "sqlite3", "ssl", "ctypes", "zlib", "threading", "asyncio", "subprocess",
			"multiprocessing", "files", "http", "modules"}},
		{"node", []string{node(t), "app.js"}, []string{"fs", "http", "tls", "worker_threads", "child_process", "crypto", "zlib", "streams", "net", "runtime"}},
	}
}

// node is a Node.js of the base's version.
func node(t *testing.T) string {
	t.Helper()
	for _, p := range []string{"node", "/usr/local/bin/node", "/usr/bin/node", "/usr/local/lib/unifaas/node20/bin/node"} {
		if out, err := exec.CommandContext(t.Context(), p, "--version").Output(); err == nil && strings.HasPrefix(string(out), "v20.") {
			return p
		}
	}
	testkit.Missing(t, "needs Node.js 20: run scripts/setup.sh test")
	return ""
}

// TestRuntimes: functions of both runtimes on one node, and another one that they call.
func TestRuntimes(t *testing.T) {
	testkit.NeedKVM(t)
	n, err := childnode.Start(context.Background(), testkit.Unifaas(t), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop() })
	memory, timeout := int64(512<<20), (5 * time.Minute).Milliseconds()
	q := api.DeployRequest{Memory: &memory, TimeoutMS: &timeout}
	if err := n.Deploy(t.Context(), "hello", testkit.Built(t, "build/examples/c-hello", "examples"), q); err != nil {
		t.Fatal(err)
	}
	q.Egress = []string{n.Addr}
	for _, r := range runtimes(t) {
		dir := function(t, r.name)
		if err := n.Deploy(t.Context(), r.name, dir, q); err != nil {
			t.Fatal(err)
		}
		native := process(t, dir, r.command)
		for _, c := range r.checks {
			t.Run(r.name+"/"+c, func(t *testing.T) {
				path := c
				if c == "http" {
					path += "?" + url.QueryEscape(n.URL("hello"))
				}
				began := time.Now()
				want := get(t, native+path)
				took := time.Since(began)
				began = time.Now()
				got := get(t, n.URL(r.name)+path)
				t.Logf("process %v, unikernel %v", took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
				if !strings.HasPrefix(want, "200 ") || strings.Count(want, "\n") < 2 {
					t.Fatalf("this machine itself answers:\n%s", want)
				}
				compare(t, got, want)
			})
		}
	}
}

// function is a copy of a function's folder with a certificate of its own.
func function(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: text}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// process starts the function's program on this machine, with the environment that a function has, and gives its address.
func process(t *testing.T, dir string, command []string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "PORT=" + port, "PYTHONDONTWRITEBYTECODE=1"}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return "http://" + addr + "/"
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%v ended: %v", command, err)
		default:
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// get is an answer, status first.
func get(t *testing.T, url string) string {
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
	return fmt.Sprintf("%d \n%s", resp.StatusCode, b)
}

// compare names the first lines that differ.
func compare(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(nothing)", "(nothing)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("line %d:\n  unikernel %.300s\n  process   %.300s", i, a, b)
		}
	}
	if !strings.HasPrefix(got, "200 ") {
		t.Errorf("the unikernel answers:\n%s", got)
	}
}
