// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/tender"
	"unifaas.dev/internal/tender/tendertest"
)

// target is where a guest of these tests is to connect to.
func target(g *tendertest.Guest) netip.AddrPort {
	for _, kv := range g.Config.Boot.Env {
		if s, ok := strings.CutPrefix(kv, "TO="); ok {
			return netip.MustParseAddrPort(s)
		}
	}
	panic("no TO")
}

func addOutbound(programs map[string]tendertest.Program) {
	// Sends 3 MiB, then its end, and expects them back.
	programs["out-tcp"] = func(g *tendertest.Guest) uint32 {
		o := tendertest.NewOutbounds(g)
		s := o.Connect(abi.ProtoTCP, target(g))
		for !s.Answered {
			o.Take()
		}
		if s.Errno != 0 {
			say(g, "errno %d", s.Errno)
			return 1 << 8
		}
		data := bytes.Repeat([]byte("0123456789abcde\n"), 3<<16)
		rest := data
		for len(rest) > 0 {
			before := len(rest)
			if rest = o.Write(s, rest); len(rest) == before {
				o.Take()
			}
		}
		g.Send(abi.MsgEOF, s.ID, 0, nil)
		for !s.EOF && !s.Reset {
			o.Take()
		}
		say(g, "same %v eof %v reset %v", bytes.Equal(s.Bytes(), data), s.EOF, s.Reset)
		return 0
	}
	// Connects and says how it went.
	programs["out-try"] = func(g *tendertest.Guest) uint32 {
		o := tendertest.NewOutbounds(g)
		tcp, udp := o.Connect(abi.ProtoTCP, target(g)), o.Connect(abi.ProtoUDP, target(g))
		for !tcp.Answered || !udp.Answered {
			o.Take()
		}
		say(g, "tcp %d udp %d", tcp.Errno, udp.Errno)
		return 0
	}
	// Sends a byte and reads until the end.
	programs["out-read"] = func(g *tendertest.Guest) uint32 {
		o := tendertest.NewOutbounds(g)
		s := o.Connect(abi.ProtoTCP, target(g))
		for !s.Answered {
			o.Take()
		}
		o.Write(s, []byte("g"))
		for !s.EOF && !s.Reset {
			o.Take()
		}
		say(g, "%d bytes, eof %v reset %v why %d", len(s.Bytes()), s.EOF, s.Reset, s.Why)
		return 0
	}
	// Sends datagrams of several sizes, one after the other came back.
	programs["out-udp"] = func(g *tendertest.Guest) uint32 {
		o := tendertest.NewOutbounds(g)
		s := o.Connect(abi.ProtoUDP, target(g))
		for !s.Answered {
			o.Take()
		}
		for i, n := range []int{1, 0, 1400, 9000, 40000, abi.DgramMax, 17, abi.DgramMax} {
			p := bytes.Repeat([]byte{byte(n)}, n)
			for int(s.Credit) < n {
				o.Take()
			}
			g.Send(abi.MsgData, s.ID, 0, p)
			s.Credit -= uint32(n)
			for len(s.Data) <= i {
				o.Take()
			}
			if !bytes.Equal(s.Data[i], p) {
				say(g, "datagram of %d: %d came back", n, len(s.Data[i]))
				return 1 << 8
			}
		}
		say(g, "same, errors %v", s.Errors)
		return 0
	}
	// Sends a datagram to nobody.
	programs["out-udp-error"] = func(g *tendertest.Guest) uint32 {
		o := tendertest.NewOutbounds(g)
		s := o.Connect(abi.ProtoUDP, target(g))
		for !s.Answered {
			o.Take()
		}
		g.Send(abi.MsgData, s.ID, 0, []byte("x"))
		for len(s.Errors) == 0 {
			o.Take()
		}
		say(g, "errors %v reset %v", s.Errors, s.Reset)
		return 0
	}
	// Gives up before the answer, again and again, by few ids, then connects in earnest.
	programs["out-abort"] = func(g *tendertest.Guest) uint32 {
		to := tendertest.Addr(target(g))
		for i := range uint32(3000) {
			g.Send(abi.MsgConnect, abi.ConnGuest|i%7, abi.ProtoTCP, to)
			g.Send(abi.MsgReset, abi.ConnGuest|i%7, 0, nil)
		}
		g.Send(abi.MsgConnect, abi.ConnGuest|100, abi.ProtoTCP, to)
		for {
			m := g.Next()
			if m.Type == abi.MsgConnected {
				if m.Conn != abi.ConnGuest|100 {
					continue // an answer that crossed
				}
				say(g, "errno %d", m.Arg)
				return 0
			}
		}
	}
	// Asks for all that it may have, and for more.
	programs["out-many"] = func(g *tendertest.Guest) uint32 {
		o := tendertest.NewOutbounds(g)
		var all []*tendertest.Outbound
		for range 5000 {
			all = append(all, o.Connect(abi.ProtoUDP, target(g)))
		}
		count := map[uint32]int{}
		for _, s := range all {
			for !s.Answered {
				o.Take()
			}
			count[s.Errno]++
		}
		say(g, "connected %d, no buffer space %d, in all %d", count[0], count[uint32(unix.ENOBUFS)], len(all))
		return forever(g)
	}
	// Floods a server with datagrams, with its credit but without a rest.
	programs["out-flood"] = func(g *tendertest.Guest) uint32 {
		o := tendertest.NewOutbounds(g)
		s := o.Connect(abi.ProtoUDP, target(g))
		for !s.Answered {
			o.Take()
		}
		for i := 0; ; i++ {
			for s.Credit < 1000 {
				o.Take()
			}
			if i == 10000 {
				say(g, "sent")
			}
			g.Send(abi.MsgData, s.ID, 0, make([]byte, 1000))
			s.Credit -= 1000
			if i%3 == 0 {
				g.Send(abi.MsgData, s.ID, 0, nil)
			}
		}
	}
	// Never reads a CONNECTED and goes on asking.
	hostile["out-deaf"] = struct {
		program tendertest.Program
		report  string
	}{func(g *tendertest.Guest) uint32 {
		for i := uint32(0); ; i++ {
			g.Send(abi.MsgConnect, abi.ConnGuest|i, abi.ProtoTCP, tendertest.Addr(netip.MustParseAddrPort("127.0.0.1:1")))
		}
	}, "does not read the answers"}
	connect := func(conn, proto uint32, payload []byte, more ...uint16) tendertest.Program {
		return func(g *tendertest.Guest) uint32 {
			g.Send(abi.MsgConnect, conn, proto, payload)
			for _, typ := range more {
				g.Send(typ, conn, 1, nil)
			}
			return forever(g)
		}
	}
	ok := tendertest.Addr(netip.MustParseAddrPort("127.0.0.1:1"))
	changed := func(i int, v byte) []byte {
		b := bytes.Clone(ok)
		b[i] = v
		return b
	}
	for name, h := range map[string]struct {
		program tendertest.Program
		report  string
	}{
		"out-host-id":    {connect(77, abi.ProtoTCP, ok), "connects as stream 77"},
		"out-console-id": {connect(1, abi.ProtoTCP, ok), "type 36"},
		"out-protocol":   {connect(abi.ConnGuest, 1, ok), "connects by protocol 1"},
		"out-family":     {connect(abi.ConnGuest, abi.ProtoTCP, changed(0, 5)), "family 5"},
		"out-scope":      {connect(abi.ConnGuest, abi.ProtoTCP, changed(4, 1)), "scope 1"},
		"out-rest":       {connect(abi.ConnGuest, abi.ProtoTCP, changed(12, 1)), "family 4"},
		"out-short":      {connect(abi.ConnGuest, abi.ProtoTCP, ok[1:]), "type 36 with 23 bytes"},
		"out-early-end":  {connect(abi.ConnGuest, abi.ProtoTCP, ok, abi.MsgEOF), "type 2 on outbound stream"},
		"out-early-data": {connect(abi.ConnGuest, abi.ProtoTCP, ok, abi.MsgData), "type 1 on outbound stream"},
		"out-unasked":    {connect(16, abi.ProtoTCP, ok), "connects as stream 16"},
		"out-stranger": {func(g *tendertest.Guest) uint32 {
			g.Send(abi.MsgData, abi.ConnGuest|5, 0, []byte("x"))
			return forever(g)
		}, "which never was"},
		"out-twice": {func(g *tendertest.Guest) uint32 {
			g.Send(abi.MsgConnect, abi.ConnGuest, abi.ProtoTCP, ok)
			g.Send(abi.MsgConnect, abi.ConnGuest, abi.ProtoTCP, ok)
			return forever(g)
		}, "which is in use"},
	} {
		hostile[name] = h
	}
}

// slow is an Egress whose answers wait for the test.
type slow struct {
	asked, given atomic.Int64
	ended        atomic.Int64
}

func (s *slow) Connect(ctx context.Context, _ string, _ bool, _ netip.AddrPort) (*os.File, syscall.Errno) {
	s.asked.Add(1)
	<-ctx.Done()
	s.given.Add(1)
	return nil, unix.ECANCELED
}

func (s *slow) Loopback() bool { return false }

func (s *slow) Forget(string) { s.ended.Add(1) }

func withEgress(e tender.Egress, to string, lines *outputs) func(*tender.StartOptions) {
	return func(o *tender.StartOptions) {
		o.Egress = e
		o.Boot.Env = []string{"TO=" + to}
		if lines != nil {
			o.OnOutput = lines.add
		}
	}
}

func broker(t *testing.T, rules ...string) *egress.Broker {
	t.Helper()
	r, err := egress.Parse(rules)
	if err != nil {
		t.Fatal(err)
	}
	return egress.NewPool().Broker(r)
}

// runOut runs a program to its end and returns what it said.
func runOut(t *testing.T, program string, e tender.Egress, to string) string {
	t.Helper()
	var lines outputs
	tn := start(t, program, withEgress(e, to, &lines))
	exit(t, boot(t, tn))
	lines.mu.Lock()
	defer lines.mu.Unlock()
	var all []string
	for _, l := range lines.lines {
		all = append(all, l.Line)
	}
	return strings.Join(all, "\n")
}

// serveTCP accepts connections and hands each to f.
func serveTCP(t *testing.T, network, addr string, f func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

func echoUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFromUDP(b)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDP(b[:n], from)
		}
	}()
	return c.LocalAddr().String()
}

func TestOutboundTCP(t *testing.T) {
	for network, addr := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		to := serveTCP(t, network, addr, func(c *net.TCPConn) {
			b, err := io.ReadAll(c)
			if err == nil {
				_, err = c.Write(b)
			}
			if err != nil {
				t.Error(err)
			}
		})
		if got := runOut(t, "out-tcp", broker(t, "127.0.0.0/8", "::1"), to); got != "same true eof true reset false" {
			t.Errorf("%s: %s", network, got)
		}
	}
}

func TestOutboundUDP(t *testing.T) {
	if got := runOut(t, "out-udp", broker(t, "udp/127.0.0.1"), echoUDP(t)); got != "same, errors []" {
		t.Error(got)
	}
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	to := c.LocalAddr().String()
	c.Close()
	if got := runOut(t, "out-udp-error", broker(t, "udp/127.0.0.1"), to); got != fmt.Sprintf("errors [%d] reset false", unix.ECONNREFUSED) {
		t.Error(got)
	}
}

// TestOutboundErrno: refusals and failures are Linux's.
func TestOutboundErrno(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	say := func(tcp, udp unix.Errno) string { return fmt.Sprintf("tcp %d udp %d", tcp, udp) }
	for name, x := range map[string]struct {
		e    tender.Egress
		to   string
		want string
	}{
		"refused":  {broker(t, "127.0.0.1"), closed, say(unix.ECONNREFUSED, 0)},
		"denied":   {broker(t), closed, say(unix.EACCES, unix.EACCES)},
		"none":     {broker(t, "none"), "169.254.169.253:53", say(0, 0)}, // which knows no name then
		"resolver": {broker(t), "169.254.169.253:53", say(0, 0)},
		"metadata": {broker(t), "169.254.169.254:80", say(unix.EACCES, unix.EACCES)},
		"half":     {broker(t, "udp/127.0.0.1"), closed, say(unix.EACCES, 0)},
	} {
		if got := runOut(t, "out-try", x.e, x.to); got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
	var lines outputs
	tn := start(t, "out-try", func(o *tender.StartOptions) {
		o.Boot.Env, o.OnOutput, o.Boot.Flags = []string{"TO=" + closed}, lines.add, abi.BootNet // which is not for the caller to say
	})
	exit(t, boot(t, tn))
	if want := say(unix.ENETUNREACH, unix.ENETUNREACH); len(lines.lines) != 1 || lines.lines[0].Line != want {
		t.Errorf("without a network: %v", lines.lines)
	}
}

// TestOutboundReset: what came before a RST is read, and then the guest learns of it.
func TestOutboundReset(t *testing.T) {
	to := serveTCP(t, "tcp4", "127.0.0.1:0", func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1))
		_, _ = c.Write(make([]byte, 10000))
		for { // until the other side's kernel has it
			if n, err := unackedBytes(c); err != nil || n == 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		_ = c.SetLinger(0)
	})
	got := runOut(t, "out-read", broker(t, "127.0.0.1"), to)
	if got != fmt.Sprintf("10000 bytes, eof false reset true why %d", unix.ECONNRESET) {
		t.Error(got)
	}
}

func unackedBytes(c *net.TCPConn) (n int, err error) {
	rc, err := c.SyscallConn()
	if err == nil {
		_ = rc.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	}
	return n, err
}

func TestOutboundAbort(t *testing.T) {
	var s slow
	tn := start(t, "out-abort", withEgress(&s, "127.0.0.1:1", nil))
	i := boot(t, tn)
	until(t, "all but one are given up", func() bool { return s.asked.Load() > 1 && s.given.Load() == s.asked.Load()-1 })
	i.Kill("enough")
	exit(t, i)
	until(t, "the instance is forgotten", func() bool { return s.ended.Load() == 1 && s.given.Load() == s.asked.Load() })

	to := serveTCP(t, "tcp4", "127.0.0.1:0", func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	if got := runOut(t, "out-abort", broker(t, "127.0.0.1"), to); got != "errno 0" {
		t.Error(got)
	}
}

// TestOutboundMany: what is beyond the limit is refused, the rest works.
func TestOutboundMany(t *testing.T) {
	var lines outputs
	tn := start(t, "out-many", withEgress(broker(t, "127.0.0.1"), "127.0.0.1:9", &lines))
	i := boot(t, tn)
	said := func() string {
		lines.mu.Lock()
		defer lines.mu.Unlock()
		if len(lines.lines) == 0 {
			return ""
		}
		return lines.lines[0].Line
	}
	until(t, "all are answered", func() bool { return said() != "" })
	if got := said(); got != "connected 4096, no buffer space 904, in all 5000" {
		t.Error(got)
	}
	if n := len(list(t, tn.PID())); n < 4096 {
		t.Errorf("%d descriptors", n)
	}
	i.Kill("enough")
	exit(t, i)
	until(t, "the sockets are closed", func() bool { return len(list(t, tn.PID())) < 50 })
}

func TestOutboundFlood(t *testing.T) {
	var lines outputs
	tn := start(t, "out-flood", withEgress(broker(t, "127.0.0.1"), echoUDP(t), &lines))
	i := boot(t, tn)
	until(t, "it has sent", func() bool { lines.mu.Lock(); defer lines.mu.Unlock(); return len(lines.lines) > 0 })
	i.Kill("enough")
	if e := exit(t, i); e.Kind != tender.Killed {
		t.Errorf("%+v", e)
	}
}

// TestOutboundLeaks: nothing is left of instances that end in the middle of it.
func TestOutboundLeaks(t *testing.T) {
	to := serveTCP(t, "tcp4", "127.0.0.1:0", func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	tn := start(t, "out-tcp", withEgress(broker(t, "127.0.0.1"), to, nil))
	var theirs, ours int
	for n := range 12 {
		var wg sync.WaitGroup
		for k := range 4 {
			wg.Go(func() {
				i, err := tn.Boot(t.Context(), fmt.Sprint(n, ".", k), "host", nil)
				if err != nil {
					t.Error(err)
					return
				}
				if k%2 == 0 {
					i.Kill("early")
				}
				<-i.Done()
			})
		}
		wg.Wait()
		if n == 5 {
			time.Sleep(20 * time.Millisecond)
			theirs, ours = len(list(t, tn.PID())), len(list(t, os.Getpid()))
		}
	}
	until(t, "descriptors are given back", func() bool {
		return len(list(t, tn.PID())) <= theirs+3 && len(list(t, os.Getpid())) <= ours+8
	})
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
