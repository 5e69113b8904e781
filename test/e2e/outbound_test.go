// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"unifaas.dev/internal/testkit"
)

// ownAddress gives an address of this machine that is loopback neither here nor in the guest.
func ownAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() && !n.Contains(net.IPv4(10, 0, 2, 15)) {
			return n.IP.String()
		}
	}
	testkit.Missing(t, "an IPv4 address besides loopback")
	return ""
}

// outbound is what the program does; TestOutbound has what it should print.
const outbound = `
import socket, sys, urllib.request, errno
ip, http, udp, closed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
def err(f):
    try: f()
    except OSError as e: return errno.errorcode.get(e.errno, e.errno)
    return "none"
url = "http://%s:%d/" % (ip, http)
print("get", urllib.request.urlopen(url + "get").read().decode())
data = bytes(range(256)) * 20000
print("post", urllib.request.urlopen(url + "post", data=data).read() == data[::-1])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in (0, 1400, 30000, 40000, 65507):
    s.sendto(b"y" * n, (ip, udp))
    d, a = s.recvfrom(70000)
    print("udp", n, len(d), a == (ip, udp))
s.connect((ip, udp))
s.send(b"connected")
print("udp", s.recv(100), s.getsockname()[0])
c = socket.create_connection((ip, http))
print("name", c.getsockname()[0], c.getpeername() == (ip, http))
c.sendall(b"GET /half HTTP/1.0\r\n\r\n")
c.shutdown(socket.SHUT_WR)
got = b""
while True:
    d = c.recv(1000)
    if not d: break
    got += d
print("half", got.endswith(b"after"))
m = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
m.connect(("::ffff:" + ip, http))
print("mapped", m.getpeername()[0] == "::ffff:" + ip)
n = socket.socket()
n.setblocking(False)
print("nonblocking", errno.errorcode[n.connect_ex((ip, http))])
import select
print("writable", select.select([], [n], [], 30)[1] == [n], n.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
print("refused", err(lambda: socket.create_connection((ip, closed))))
print("denied", err(lambda: socket.create_connection(("169.254.169.254", 80))))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect((ip, closed))
u.send(b"x")
print("udp refused", err(lambda: u.recv(1)))
print("localhost", sorted(a[4][0] for a in socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)))
print("own name", socket.gethostbyname(socket.gethostname()))
`

func TestOutbound(t *testing.T) {
	testkit.NeedKVM(t)
	python, ip := testkit.NeedTool(t, "python3"), ownAddress(t)
	l, err := net.Listen("tcp4", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	mux.HandleFunc("/half", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "after") })
	mux.HandleFunc("/post", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
		w.Write(b)
	})
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	u, err := net.ListenPacket("udp4", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	go func() {
		buf := make([]byte, 70000)
		for {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			u.WriteTo(buf[:n], from)
		}
	}()
	// A port that nothing listens on, TCP or UDP, and nobody else gets meanwhile: bound by TCP without listening would refuse,
	// but Go cannot; port 1 is reserved and unused.
	const closed = "1"
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_, uport, _ := net.SplitHostPort(u.LocalAddr().String())
	cmd := exec.CommandContext(t.Context(), testkit.Unifaas(t), "run", "--egress", ip, "--", python, "-c", outbound, ip, port, uport, closed)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, stderr.String(), out)
	}
	want := []string{"get hello", "post True"}
	for _, n := range []int{0, 1400, 30000, 40000, 65507} {
		want = append(want, fmt.Sprintf("udp %d %d True", n, n))
	}
	want = append(want, "udp b'connected' 10.0.2.15", "name 10.0.2.15 True", "half True", "mapped True", "nonblocking EINPROGRESS",
		"writable True 0", "refused ECONNREFUSED", "denied EACCES", "udp refused ECONNREFUSED", "localhost ['127.0.0.1', '::1']", "own name 10.0.2.15")
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, w := range want {
		if i >= len(got) || got[i] != w {
			t.Errorf("line %d: want %q in\n%s%s", i+1, w, out, stderr.String())
			break
		}
	}
}
