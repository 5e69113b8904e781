// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of connections.
const (
	stallLimit = time.Minute // for what is written to a caller at once, 32 KiB at most: who takes less is cut off
	fewConns   = 256         // however few descriptors there are
)

// Door is a listener that keeps callers from using up the node: of those that ask for nothing the one that has done so for longest has to go when there
// are too many, and who takes no answers is cut off. It belongs to one server, whose ConnState it is told of.
type Door struct {
	net.Listener
	stall time.Duration
	max   int

	mu    sync.Mutex
	conns map[*visitor]struct{}
	idle  list.List // of *visitor that asks for nothing, the longest so first
}

// visitor is a caller's connection.
type visitor struct {
	net.Conn
	door *Door
	at   *list.Element // in door.idle; nil: something runs
	once sync.Once

	limits sync.Mutex // of writing
	limit  time.Time  // that somebody has set; zero: none
}

// NewDoor bounds the connections of a listener, and has s tell of them. conns is how many there may be; 0: as many as half of
// this process's descriptors.
func NewDoor(l net.Listener, s *http.Server, conns int) *Door {
	if conns <= 0 {
		conns = fewConns
		var r unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) == nil {
			conns = max(conns, int(min(r.Cur/2, 1<<20)))
		}
	}
	d := &Door{Listener: l, stall: stallLimit, max: conns, conns: map[*visitor]struct{}{}}
	s.ConnState = d.changed
	return d
}

// Accept lets the next caller in. If there are too many, an idle one has to go, or the new one if nobody is.
func (d *Door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		v := &visitor{Conn: c, door: d}
		d.mu.Lock()
		full := len(d.conns) >= d.max
		var out *visitor
		if e := d.idle.Front(); full && e != nil {
			out = e.Value.(*visitor)
			d.forget(out)
		}
		if full && out == nil {
			d.mu.Unlock()
			c.Close()
			continue
		}
		d.conns[v] = struct{}{}
		v.at = d.idle.PushBack(v) // until it asks for something
		d.mu.Unlock()
		if out != nil {
			out.Close()
		}
		return v, nil
	}
}

// changed follows what the server does with connections.
func (d *Door) changed(c net.Conn, s http.ConnState) {
	v, ok := c.(*visitor)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, here := d.conns[v]; !here {
		return
	}
	switch {
	case s == http.StateIdle && v.at == nil:
		v.at = d.idle.PushBack(v)
	case (s == http.StateActive || s == http.StateHijacked) && v.at != nil:
		d.idle.Remove(v.at)
		v.at = nil
	}
}

// forget: Preconditions: mu is held.
func (d *Door) forget(v *visitor) {
	delete(d.conns, v)
	if v.at != nil {
		d.idle.Remove(v.at)
		v.at = nil
	}
}

// Write gives the caller some time to take what is written.
func (v *visitor) Write(p []byte) (int, error) {
	v.limits.Lock()
	end := time.Now().Add(v.door.stall)
	if !v.limit.IsZero() && v.limit.Before(end) {
		end = v.limit
	}
	v.Conn.SetWriteDeadline(end)
	v.limits.Unlock()
	return v.Conn.Write(p)
}

// SetWriteDeadline can only make that time shorter.
func (v *visitor) SetWriteDeadline(t time.Time) error {
	v.limits.Lock()
	defer v.limits.Unlock()
	v.limit = t
	return v.Conn.SetWriteDeadline(t)
}

// SetDeadline is for reading as for writing.
func (v *visitor) SetDeadline(t time.Time) error {
	if err := v.SetReadDeadline(t); err != nil {
		return err
	}
	return v.SetWriteDeadline(t)
}

// CloseWrite ends what is sent: the server does so before it closes, for callers that still write.
func (v *visitor) CloseWrite() error {
	if c, ok := v.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// Close makes room.
func (v *visitor) Close() error {
	v.once.Do(func() {
		v.door.mu.Lock()
		v.door.forget(v)
		v.door.mu.Unlock()
	})
	return v.Conn.Close()
}
