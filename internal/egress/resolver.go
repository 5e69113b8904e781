// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of the resolver of one function.
const (
	streamsInstance = 64  // connections to it
	streamsFunction = 256 //
	questionsAtOnce = 64
	questionsRate   = 500 // a second
	questionsBurst  = 500
	maxQuestion     = 4096
	idleLimit       = 5 * time.Minute // of a connection
	writeLimit      = 5 * time.Second // for the guest to take an answer
)

// resolverAddr is where guests find the resolver; their resolv.conf says so.
func resolverAddr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{169, 254, 169, 253}), 53)
}

// resolver answers the questions of a function's instances by what this machine knows. Its connections are socket pairs.
type resolver struct {
	policy *policy
	cache  *cache
	slots  chan struct{}
	rate   rate

	mu      sync.Mutex
	streams map[string]map[*os.File]struct{} // by instance
	count   int
}

func newResolver(p *policy) *resolver {
	return &resolver{policy: p, cache: newCache(&host{}), slots: make(chan struct{}, questionsAtOnce),
		rate: newRate(questionsRate, questionsBurst), streams: map[string]map[*os.File]struct{}{}}
}

// connect returns one end of a new connection. Messages keep their bounds on the pair that stands for UDP, and its end can be
// noticed, which a pair of datagram sockets would not tell.
func (r *resolver) connect(id string, udp bool) (*os.File, syscall.Errno) {
	typ := unix.SOCK_STREAM
	if udp {
		typ = unix.SOCK_SEQPACKET
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, scarce(err)
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "resolver"), os.NewFile(uintptr(fds[1]), "resolver")
	if !r.add(id, ours) {
		theirs.Close()
		ours.Close()
		return nil, unix.ENOBUFS
	}
	go func() {
		c := &question{r: r, f: ours, udp: udp}
		c.serve()
		r.remove(id, ours)
	}()
	return theirs, 0
}

func (r *resolver) add(id string, f *os.File) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count >= streamsFunction || len(r.streams[id]) >= streamsInstance {
		return false
	}
	if r.streams[id] == nil {
		r.streams[id] = map[*os.File]struct{}{}
	}
	r.streams[id][f] = struct{}{}
	r.count++
	return true
}

func (r *resolver) remove(id string, f *os.File) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.streams[id], f)
	if len(r.streams[id]) == 0 {
		delete(r.streams, id)
	}
	r.count--
	f.Close()
}

// forget ends the connections of an instance.
func (r *resolver) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for f := range r.streams[id] {
		f.Close() // which its reader notices
	}
}

// question is one connection of a guest.
type question struct {
	r   *resolver
	f   *os.File
	udp bool

	mu sync.Mutex // one answer at a time
}

// serve takes questions until the guest or the instance is gone. Too many are left where they are.
func (c *question) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for {
		_ = c.f.SetReadDeadline(time.Now().Add(idleLimit))
		q, err := c.next()
		if err != nil {
			return
		}
		c.r.rate.wait()
		c.r.slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-c.r.slots }()
			if a := c.r.answer(ctx, q, c.udp, time.Now()); a != nil && c.send(a) != nil && !c.udp {
				c.f.Close() // half an answer may be out
			}
		})
	}
}

// next reads a question. One that is too long to be read whole is found malformed.
func (c *question) next() ([]byte, error) {
	if c.udp {
		b := make([]byte, maxQuestion)
		n, err := c.f.Read(b)
		return b[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(c.f, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > maxQuestion {
		return nil, errors.New("too long a question")
	}
	b := make([]byte, n)
	_, err := io.ReadFull(c.f, b)
	return b, err
}

func (c *question) send(a []byte) error {
	if !c.udp {
		a = append(binary.BigEndian.AppendUint16(make([]byte, 0, len(a)+2), uint16(len(a))), a...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.f.SetWriteDeadline(time.Now().Add(writeLimit))
	_, err := c.f.Write(a)
	return err
}
