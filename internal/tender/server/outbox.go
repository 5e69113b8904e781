// SPDX-License-Identifier: Apache-2.0

package server

import (
	"sync"

	"unifaas.dev/internal/tender/wire"
)

// Bounds of what waits for the node, in bytes. Ports are heard of beyond what output may fill: a program that listens while
// its console, or that of another instance, is ahead of the node has done nothing wrong. Other events are few, by the
// limits that hold for each instance, and always queue.
const (
	maxOutput      = 256 << 10
	maxPortsQueued = 2 * maxOutput
)

// outbox sends events to the node, in order and without ever blocking who sends: a vCPU thread must not wait for the node.
type outbox struct {
	fd int

	mu     sync.Mutex
	queue  [][]byte
	queued int // bytes
	active bool
	closed bool
}

// send queues an event, or sends it at once if nothing is before it.
func (o *outbox) send(m wire.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.post(wire.Encode(nil, m))
}

// offer is send for what a guest can make any number of: false if more than limit is queued.
func (o *outbox) offer(m wire.Message, limit int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queued > limit {
		return false
	}
	o.post(wire.Encode(nil, m))
	return true
}

// post: Preconditions: o.mu is held.
func (o *outbox) post(packet []byte) {
	if o.closed {
		return
	}
	if !o.active {
		ok, err := wire.Send(o.fd, packet, nil, false)
		if err != nil {
			o.closed = true // the reader of commands sees it too and ends the tender
			return
		}
		if ok {
			clear(packet) // may be what a program printed, which is to be nowhere after a rewind
			return
		}
		o.active = true
		go o.drain()
	}
	o.queue = append(o.queue, packet)
	o.queued += len(packet)
}

// drain sends what has queued up, blocking, and ends when nothing is left.
func (o *outbox) drain() {
	for {
		o.mu.Lock()
		if len(o.queue) == 0 || o.closed {
			o.queue, o.queued, o.active = nil, 0, false
			o.mu.Unlock()
			return
		}
		packet := o.queue[0]
		o.queue = o.queue[1:]
		o.queued -= len(packet)
		o.mu.Unlock()
		if _, err := wire.Send(o.fd, packet, nil, true); err != nil {
			o.mu.Lock()
			o.closed = true
			o.mu.Unlock()
		}
		clear(packet)
	}
}
