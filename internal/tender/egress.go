// SPDX-License-Identifier: Apache-2.0

package tender

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"unifaas.dev/internal/tender/wire"
)

// Egress connects for guests, which have no network of their own, or refuses to. It is called from many goroutines.
type Egress interface {
	// Connect returns a connected socket, or the errno of Linux that says why there is none. ctx ends when the guest gives
	// up or its instance ends. Nobody else uses the file, which is closed once the tender has it.
	Connect(ctx context.Context, instance string, udp bool, to netip.AddrPort) (*os.File, syscall.Errno)
	// Loopback reports whether some loopback address of this machine can be had: guests then ask for those where none of their
	// own programs listens.
	Loopback() bool
	// Forget is called when an instance has ended and its last Connect has returned.
	Forget(instance string)
}

// dials are the connections that are being made for one instance.
type dials struct {
	mu     sync.Mutex
	ended  bool
	wg     sync.WaitGroup
	cancel map[uint32]context.CancelFunc // by token
}

// onConnect begins a connection. An error is a tender that breaks the protocol.
func (i *Instance) onConnect(m *wire.Connect) error {
	e := i.t.o.Egress
	if e == nil {
		return fmt.Errorf("%w: connect without a network", wire.ErrMalformed)
	}
	d := &i.dials
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel == nil {
		d.cancel = map[uint32]context.CancelFunc{}
	}
	if len(d.cancel) >= wire.MaxAsked || d.cancel[m.Token] != nil {
		return fmt.Errorf("%w: connect %d beside %d others", wire.ErrMalformed, m.Token, len(d.cancel))
	}
	ip := netip.AddrFrom4([4]byte(m.Addr[:4]))
	if m.IPv6 {
		ip = netip.AddrFrom16(m.Addr)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel[m.Token] = cancel
	udp, to, token := m.UDP, netip.AddrPortFrom(ip, m.Port), m.Token
	d.wg.Go(func() {
		f, errno := e.Connect(ctx, i.id, udp, to)
		i.connected(token, f, errno)
	})
	return nil
}

// connected answers a Connect.
func (i *Instance) connected(token uint32, f *os.File, errno syscall.Errno) {
	d := &i.dials
	d.mu.Lock()
	d.cancel[token]()
	delete(d.cancel, token)
	ended := d.ended
	d.mu.Unlock()
	reply := &wire.Connected{Instance: i.num, Token: token, Errno: uint16(errno)}
	var fds []int
	if f != nil {
		defer f.Close()
		fds = []int{int(f.Fd())}
	}
	if !ended {
		_ = i.t.send(reply, fds...) // fails with the tender, whose instances then end
	}
}

func (i *Instance) onAbort(m *wire.Abort) {
	i.dials.mu.Lock()
	if cancel := i.dials.cancel[m.Token]; cancel != nil {
		cancel() // its answer still goes out: the tender counts on one
	}
	i.dials.mu.Unlock()
}

// end gives up what is still being connected.
func (d *dials) end(after func()) {
	d.mu.Lock()
	d.ended = true
	for _, cancel := range d.cancel {
		cancel()
	}
	d.mu.Unlock()
	go func() {
		d.wg.Wait()
		after()
	}()
}
