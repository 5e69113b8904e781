// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/testkit"
)

// run runs a program in a unikernel with egress rules and returns what it printed.
func run(t *testing.T, rules string, program ...string) string {
	t.Helper()
	testkit.NeedKVM(t)
	args := []string{"run"}
	for _, r := range strings.Fields(rules) {
		args = append(args, "--egress", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, testkit.Unifaas(t), append(append(args, "--"), program...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return strings.TrimSpace(string(out))
}

func clientProgram(t *testing.T) string {
	t.Helper()
	return testkit.Built(t, "build/e2e/client", "e2e-programs")
}

// echo serves TCP and UDP on a loopback address, on the same port.
func echo(t *testing.T, ip string) (port string) {
	t.Helper()
	var l net.Listener
	var u net.PacketConn
	for range 100 {
		var err error
		if l, err = net.Listen("tcp", net.JoinHostPort(ip, "0")); err != nil {
			testkit.Missing(t, "no %s: %v", ip, err)
		}
		if u, err = net.ListenPacket("udp", l.Addr().String()); err == nil {
			break
		}
		l.Close()
	}
	t.Cleanup(func() { l.Close(); u.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = u.WriteTo(b[:n], from)
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// closed is a port where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// TestLoopbackServers reaches servers on this machine's loopback, which rules open.
func TestLoopbackServers(t *testing.T) {
	p := clientProgram(t)
	for ip, rule := range map[string]string{"127.0.0.1": "127.0.0.1:", "::1": "[::1]:"} {
		port := echo(t, ip)
		rule += port
		for _, x := range []struct{ args, want string }{
			{"echo " + ip + " " + port + " 0", "same"},
			{"echo " + ip + " " + port + " 20000000", "same"}, // half-close, and both directions at once
			{"many " + ip + " " + port + " 100", "100 same"},
			{"udp " + ip + " " + port, "same"},
		} {
			if got := run(t, "none "+rule, append([]string{p}, strings.Fields(x.args)...)...); got != x.want {
				t.Errorf("%s: %s", x.args, got)
			}
		}
	}
}

// TestEgressErrors: what is refused, and what nobody takes, has Linux's errno.
func TestEgressErrors(t *testing.T) {
	p, port := clientProgram(t), closed(t)
	both := func(tcp, udp syscall.Errno) string { return fmt.Sprintf("tcp %d udp %d", int(tcp), int(udp)) }
	denied := both(syscall.EACCES, syscall.EACCES)
	for _, x := range []struct{ rules, ip, want string }{
		{"127.0.0.1", "127.0.0.1", both(syscall.ECONNREFUSED, syscall.ECONNREFUSED)},
		{"", "127.0.0.1", both(syscall.ECONNREFUSED, syscall.ECONNREFUSED)}, // the guest's own
		{"127.0.0.9", "127.0.0.1", denied},
		{"tcp/127.0.0.1", "127.0.0.1", both(syscall.ECONNREFUSED, syscall.EACCES)},
		{"127.0.0.1:1", "127.0.0.1", denied},
		{"", "10.0.0.1", denied},
		{"", "192.168.1.1", denied},
		{"", "169.254.169.254", denied},
		{"", "100.64.0.1", denied},
		{"", "fd00::1", denied},
		{"", "::ffff:10.0.0.1", denied},
		{"", "64:ff9b::a9fe:a9fe", denied},
		{"none", "10.0.0.1", denied},
	} {
		if got := run(t, x.rules, p, "connect", x.ip, port); got != x.want {
			t.Errorf("%q: %s: %s, want %s", x.rules, x.ip, got, x.want)
		}
	}
}

// TestResolver: names of this machine's /etc/hosts, which no server is asked for.
func TestResolver(t *testing.T) {
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	p := clientProgram(t)
	found := false
	for line := range strings.Lines(string(hosts)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "127.0.0.1" && f[0] != "127.0.1.1" || f[1] == "localhost" || strings.Count(string(hosts), f[1]) != 1 {
			continue
		}
		found = true
		if got, want := run(t, "", p, "resolve", f[1]), "0 "+f[0]; got != want {
			t.Errorf("%s: %s, want %s", f[1], got, want)
		}
		if got := run(t, "none "+f[1], p, "resolve", f[1]); got != "0 "+f[0] {
			t.Errorf("%s, by its rule: %s", f[1], got)
		}
	}
	if !found {
		t.Log("/etc/hosts has no name of its own")
	}
	if got := run(t, "none", p, "resolve", "name.example"); got != "-2" { // EAI_NONAME
		t.Errorf("without the public internet: %s", got)
	}
}

// TestCurl is a program of Debian's.
func TestCurl(t *testing.T) {
	curl := testkit.NeedTool(t, "curl")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello ", r.URL.Path) }))
	defer s.Close()
	if got := run(t, "127.0.0.1", curl, "-sS", s.URL+"/x"); got != "hello /x" {
		t.Error(got)
	}
	if got := run(t, "none", curl, "-sS", s.URL+"/x"); !strings.Contains(got, "exit status 7") {
		t.Error(got)
	}
}

// TestFunctionEgress: the rules of a function hold in the node, and those of its next revision instead of them.
func TestFunctionEgress(t *testing.T) {
	n := start(t)
	port := echo(t, "127.0.0.1")
	misbehave(t, n, api.DeployRequest{Egress: []string{"none", "tcp/127.0.0.1:" + port}})
	if _, body := get(t, n, "misbehave", "/connect/"+port); body != "errno 0" {
		t.Error(body)
	}
	misbehave(t, n, api.DeployRequest{Egress: []string{"none", "127.0.0.2"}})
	if _, body := get(t, n, "misbehave", "/connect/"+port); body != fmt.Sprintf("errno %d", int(syscall.EACCES)) {
		t.Error(body)
	}
}
