// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func testBroker(t *testing.T, rules ...string) *Broker {
	t.Helper()
	r, err := Parse(rules)
	if err != nil {
		t.Fatal(err)
	}
	return NewPool().Broker(r)
}

// full is a listener whose queue is full: whoever connects to it waits.
func full(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*unix.SockaddrInet4).Port))
	c, err := net.Dial("tcp4", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return to
}

// TestGiveUp: who is tired of waiting gets away, whether the connection is being made or waits for its turn.
func TestGiveUp(t *testing.T) {
	b := testBroker(t, "127.0.0.1")
	to := full(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := map[syscall.Errno]int{}
	for range dialsInstance + 50 {
		wg.Go(func() {
			f, e := b.Connect(ctx, "i1", false, to)
			if f != nil {
				f.Close()
			}
			mu.Lock()
			count[e]++
			mu.Unlock()
		})
	}
	for deadline := time.Now().Add(30 * time.Second); len(b.instance("i1").slots) < dialsInstance; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not all are connecting")
		}
	}
	cancel()
	wg.Wait()
	if n := count[unix.ECANCELED]; n < dialsInstance {
		t.Errorf("%v", count)
	}
	b.Forget("i1")
	if len(b.instances) != 0 || len(b.slots) != 0 || len(b.pool) != 0 {
		t.Errorf("left: %d instances, %d and %d connections", len(b.instances), len(b.slots), len(b.pool))
	}
	limited, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if f, e := dial(limited, false, to); e != unix.ETIMEDOUT {
		t.Errorf("%v, %v", f, e)
	}
}

func TestRate(t *testing.T) {
	r := newRate(10, 5)
	now := time.Now()
	for i := range 5 {
		if d := r.take(now); d > 0 {
			t.Errorf("number %d waits for %v", i, d)
		}
	}
	for i := range 3 {
		if d := r.take(now); d != time.Duration(i+1)*100*time.Millisecond {
			t.Errorf("number %d after the burst waits for %v", i, d)
		}
	}
	if d := r.take(now.Add(time.Hour)); d > 0 {
		t.Errorf("an hour later: %v", d)
	}
}

// TestErrnos: what the guest sees makes sense to it.
func TestErrnos(t *testing.T) {
	for in, want := range map[error]syscall.Errno{unix.EMFILE: unix.ENOBUFS, unix.EAFNOSUPPORT: unix.ENETUNREACH, unix.EPERM: unix.EACCES,
		unix.ECONNREFUSED: unix.ECONNREFUSED, net.ErrClosed: unix.EIO} {
		if got := scarce(in); got != want {
			t.Errorf("%v became %v", in, got)
		}
	}
}
