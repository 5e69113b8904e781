// SPDX-License-Identifier: Apache-2.0

package nodetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/snapshot"
)

// Key is the same for the same layers, memory and environment. Without Runtime.Snapshots there are none.
func (r *Runtime) Key(c node.TenderConfig) (snapshot.Key, bool) {
	k := snapshot.Key{Libos: [32]byte{1}, ABI: abi.Version, Memory: c.Memory}
	for n, kv := range c.Env {
		k.Program[n%32] += byte(crc32.ChecksumIEEE([]byte(kv)))
	}
	return k, r.Snapshots
}

// state is what a snapshot of a fake instance consists of.
type state struct {
	there bool
	value int64
}

// accept looks at the image that the tender was given.
func (t *Tender) accept() {
	use := t.Config.Snapshot
	if use.Image == nil {
		return
	}
	m, err := snapshot.ReadMeta(use.Image)
	if err == nil && t.r.OnImage != nil {
		err = t.r.OnImage()
	}
	if err != nil {
		use.OnRefused(err)
		return
	}
	t.snap = state{true, int64(binary.LittleEndian.Uint64(m.CPU))}
}

// take makes a snapshot of an instance that listens, if one is wanted and nobody else is at it. Its streams wait meanwhile.
func (t *Tender) take(g *Guest) {
	use := t.Config.Snapshot
	t.mu.Lock()
	defer t.mu.Unlock()
	if use.Sink == nil || t.taking || t.sink == nil {
		return
	}
	t.taking = true
	sink := t.sink
	g.order.Lock()
	go func() {
		defer g.order.Unlock()
		var err error
		if t.r.OnTake != nil {
			err = t.r.OnTake(g)
		}
		value := g.Value.Load()
		key, _ := t.r.Key(t.Config)
		key.Features = "fake"
		if err == nil {
			err = writeImage(sink, key, value)
		}
		sink.Close()
		select {
		case <-g.done:
			t.mu.Lock()
			t.taking = false
			dead := t.guests == nil
			t.mu.Unlock()
			if dead {
				return
			}
			err = errors.New("the instance ended")
		default:
		}
		t.mu.Lock()
		t.snap = state{err == nil, value}
		t.sink = nil
		t.mu.Unlock()
		use.OnTaken(snapshot.Info{Pages: 1, Bytes: 4096}, err)
	}()
}

func writeImage(f *os.File, k snapshot.Key, value int64) error {
	m := &snapshot.Meta{Key: k, CPU: binary.LittleEndian.AppendUint64(nil, uint64(value))}
	if err := f.Truncate(k.Memory + abi.SharedSize); err != nil {
		return err
	}
	var sum snapshot.Sum
	sum.Add(make([]byte, snapshot.SharedUsed))
	return snapshot.Finish(f, m, sum)
}

// parkedSize is what a parked instance takes.
const parkedSize = 24

// origin puts in what an instance is made from.
func (t *Tender) origin(g *Guest, s node.Start) error {
	t.mu.Lock()
	snap := t.snap
	t.mu.Unlock()
	if s.Origin != node.FromBoot {
		if t.r.OnRestore != nil {
			if err := t.r.OnRestore(s); err != nil {
				return err
			}
		}
		if !snap.there {
			return fmt.Errorf("%w: there is none", snapshot.ErrForeign)
		}
		t.r.Restores.Add(1)
	}
	switch s.Origin {
	case node.FromSnapshot:
		g.Value.Store(snap.value)
	case node.FromParked:
		var b [parkedSize]byte
		if _, err := s.Parked.ReadAt(b[:], s.Off); err != nil || s.Len != parkedSize {
			return fmt.Errorf("%w: %d bytes, %v", snapshot.ErrDamaged, s.Len, err)
		}
		if binary.LittleEndian.Uint32(b[20:]) != crc32.ChecksumIEEE(b[:20]) || string(b[:8]) != s.ID {
			return fmt.Errorf("%w: checksum", snapshot.ErrDamaged)
		}
		g.Value.Store(int64(binary.LittleEndian.Uint64(b[8:])))
	}
	g.restored = s.Origin != node.FromBoot
	return nil
}

// Rewind puts Value back and closes all streams.
func (g *Guest) Rewind(dial bool, then func(node.Rewound, error)) (c net.Conn) {
	var b net.Conn
	if dial && (g.t.r.OnDial == nil || g.t.r.OnDial() == nil) {
		var err error
		if c, b, err = socketPair(); err != nil {
			c, b = nil, nil
		}
	}
	g.order.Lock()
	go func() {
		var err error
		if g.t.r.OnRewind != nil {
			err = g.t.r.OnRewind(g)
		}
		g.t.mu.Lock()
		snap := g.t.snap
		g.t.mu.Unlock()
		if !snap.there && err == nil {
			err = errors.New("there is no snapshot")
		}
		if err == nil {
			g.mu.Lock()
			for c := range g.open {
				c.Close()
				delete(g.open, c)
			}
			g.mu.Unlock()
			g.Value.Store(snap.value)
		}
		if b != nil {
			g.accept(b)
		}
		g.order.Unlock()
		then(node.Rewound{Pages: 3, Took: 3 * time.Millisecond}, err)
	}()
	return c
}

// Park writes Value and ends the instance.
func (g *Guest) Park(_ context.Context, sink *os.File) (int64, error) {
	g.order.Lock()
	defer g.order.Unlock()
	if g.t.r.OnPark != nil {
		if err := g.t.r.OnPark(g); err != nil {
			return 0, err
		}
	}
	if g.busy.Load() > 0 {
		return 0, node.ErrBusyGuest
	}
	var b [parkedSize]byte
	copy(b[:8], g.ID)
	binary.LittleEndian.PutUint64(b[8:], uint64(g.Value.Load()))
	binary.LittleEndian.PutUint32(b[20:], crc32.ChecksumIEEE(b[:20]))
	if _, err := sink.WriteAt(b[:], 0); err != nil {
		return 0, err
	}
	g.End(node.Exit{Kind: node.ExitKilled, Reason: "parked"})
	return parkedSize, nil
}

// Snapshots is a store in memory.
type Snapshots struct {
	mu  sync.Mutex
	all map[string]stored

	Dropped []error // why, in order
	Saved   int
	Trims   atomic.Int64
}

type stored struct {
	key  snapshot.Key
	data []byte // what stands behind memory: that is all zeros
}

// Get gives a copy.
func (s *Snapshots) Get(k snapshot.Key) (*node.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.all[k.ID()]
	if !ok {
		return nil, nil
	}
	fd, err := unix.MemfdCreate("stored", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "stored")
	if _, err := f.WriteAt(e.data, e.key.Memory+abi.SharedSize); err != nil {
		f.Close()
		return nil, err
	}
	return &node.Snapshot{File: f, Bytes: 4096, Release: func() { f.Close() }}, snapshot.Seal(f)
}

// Save keeps a copy.
func (s *Snapshots) Save(k snapshot.Key, f *os.File) error {
	if !snapshot.IsSealed(f) {
		return errors.New("it is not sealed")
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	memory := k.Memory + abi.SharedSize
	data, err := io.ReadAll(io.NewSectionReader(f, memory, fi.Size()-memory))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]stored{}
	}
	s.all[k.ID()] = stored{k, data}
	s.Saved++
	return nil
}

// Drop forgets one.
func (s *Snapshots) Drop(k snapshot.Key, why error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, k.ID())
	s.Dropped = append(s.Dropped, why)
	return nil
}

// Keep forgets what is not wanted.
func (s *Snapshots) Keep(want func(snapshot.Key) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, e := range s.all {
		if !want(e.key) {
			delete(s.all, id)
		}
	}
	return nil
}

// Usage counts snapshots.
func (s *Snapshots) Usage() (disk, memory int64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.all)) * 4096, 0, len(s.all)
}

// Trim has nothing to drop: Get makes a copy.
func (s *Snapshots) Trim() { s.Trims.Add(1) }

// Damage changes a byte of every one.
func (s *Snapshots) Damage() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.all {
		e.data[len(e.data)-1]++
	}
}
