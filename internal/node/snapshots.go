// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/units"
)

// Snapshots keeps snapshots for longer than tenders live; *store.Store is one behind a small adapter.
type Snapshots interface {
	Get(k snapshot.Key) (*Snapshot, error) // nil: there is none
	Save(k snapshot.Key, f *os.File) error
	Drop(k snapshot.Key, why error) error       // why, if not nil, is worth a warning
	Keep(want func(k snapshot.Key) bool) error  // drops the others
	Usage() (disk, memory int64, snapshots int) // memory: beside what Save was given
	Trim()                                      // memory is short: keeps none for later
}

// Snapshot is one that is in use: a sealed memory file.
type Snapshot struct {
	File    *os.File
	Bytes   int64 // of memory
	Release func()
}

// EnvSnapshot is the variable by which a program, or who deploys it, says when its snapshot is taken.
const EnvSnapshot = "UNIFAAS_SNAPSHOT"

// Values of EnvSnapshot.
const (
	SnapshotAuto   = "auto"   // at the first quiescent point
	SnapshotManual = "manual" // when the program says so
	SnapshotOff    = "off"
)

const (
	snapshotTries = 3               // tenders of a revision that may fail to take a snapshot
	snapshotWait  = 2 * time.Second // how long the others wait for it when the instance that it is taken of listens
)

// keeper has the snapshot of a pool's revision: from the store, or taken of the first instance.
type keeper struct {
	pool *pool

	mu       sync.Mutex
	keyed    bool
	key      snapshot.Key
	looked   bool          // into the store
	adopting chan struct{} // closed when a snapshot that was taken is checked; nil: none is
	image    *Snapshot     // nil: none yet
	imageGen int           // which one that is
	gens     int           // of snapshots that there ever were
	stale    *Snapshot     // was refused; a tender may be starting with it
	failures int
	closed   bool
	work     sync.WaitGroup
}

// lineage is what the instances of one tender are made from.
type lineage struct {
	mu    sync.Mutex
	gen   int           // which snapshot it is: what is parked fits only the same one
	from  bool          // its snapshot can be used
	known chan struct{} // closed when it is settled whether there will be one
	why   error         // there is none
	sink  *os.File      // where it is to be; nil: nowhere, or it is there
	late  bool          // it could not be taken before the first request
	at    time.Time     // when the instance that it is taken of listened
	taker chan struct{} // holds a token while an instance boots that it is taken of
}

// start starts a tender that uses the snapshot or takes one.
func (k *keeper) start(ctx context.Context, c TenderConfig) (Tender, *lineage, error) {
	k.mu.Lock()
	adopting := k.adopting
	k.mu.Unlock()
	if adopting != nil {
		select {
		case <-adopting: // or this tender would take another one
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	for {
		l := &lineage{known: make(chan struct{}), taker: make(chan struct{}, 1)}
		k.prepare(&c, l)
		if c.Snapshot.Image != nil {
			c.Snapshot.OnRefused = func(err error) { k.refuse(l, err) }
		}
		t, err := k.pool.n.runtime.StartTender(ctx, c)
		if err != nil {
			l.close()
			return nil, nil, err
		}
		if c.Snapshot.Image == nil || l.usable() {
			return t, l, nil
		}
		t.Close() // another one can take a snapshot
	}
}

// prepare says what a tender is to do about snapshots.
func (k *keeper) prepare(c *TenderConfig, l *lineage) {
	store, mode := k.pool.n.opts.Snapshots, snapshotMode(c.Env)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.release(&k.stale)
	c.Snapshot = SnapshotUse{Rewind: k.pool.spec.Rewind, Manual: mode == SnapshotManual}
	switch {
	case store == nil:
		l.settle(false, errors.New("this node takes none"))
		return
	case mode == SnapshotOff:
		l.settle(false, fmt.Errorf("%s is %s", EnvSnapshot, SnapshotOff))
		return
	case !k.learn(*c):
		l.settle(false, fmt.Errorf("instances of kind %s have none", k.pool.n.Runtime()))
		return
	}
	if k.image == nil && !k.looked && !k.private() {
		k.looked = true
		var err error
		if k.image, err = store.Get(k.key); errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, snapshot.ErrForeign) {
			k.drop(err)
		} else if err != nil { // nothing is wrong with it: memory is short, or descriptors
			k.looked = false
			k.say("the snapshot is not used now, instances boot: %v", err)
		}
		k.gens++
		k.imageGen = k.gens
	}
	if k.image != nil {
		c.Snapshot.Image = k.image.File
		l.gen = k.imageGen
		l.settle(true, nil)
		return
	}
	if k.failures >= snapshotTries {
		l.settle(false, fmt.Errorf("it failed %d times", k.failures))
		return
	}
	fd, err := unix.MemfdCreate("unifaas-snapshot", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		l.settle(false, fmt.Errorf("make a memory file: %w", err))
		return
	}
	l.sink = os.NewFile(uintptr(fd), "unifaas-snapshot")
	c.Snapshot.Sink = l.sink
	k.gens++
	l.gen = k.gens
	c.Snapshot.OnTaken = func(info snapshot.Info, err error) { k.taken(l, info, err) }
	c.Snapshot.Pristine = k.pool.spec.Rewind || k.pool.spec.Fresh
	c.Snapshot.OnLater = func(err error) { k.later(l, err) }
}

// learn computes the key once. Preconditions: mu is held.
func (k *keeper) learn(c TenderConfig) bool {
	if !k.keyed {
		key, ok := k.pool.n.runtime.Key(c)
		if !ok {
			return false
		}
		k.key, k.keyed = key, true
		k.pool.n.keys.hold(key)
	}
	return true
}

// later is told that the tender takes no snapshot for now: instances boot until it has. It does not block.
func (k *keeper) later(l *lineage, err error) {
	l.mu.Lock()
	first := !l.late
	l.late = true
	l.mu.Unlock()
	l.settle(false, err)
	if first {
		k.say("no snapshot is taken yet: %v; it is tried again", err)
	}
}

// taken is told when the tender has taken the snapshot, or why it has not. It does not block.
func (k *keeper) taken(l *lineage, info snapshot.Info, err error) {
	l.mu.Lock()
	sink, at, late := l.sink, l.at, l.late
	l.sink = nil
	l.mu.Unlock()
	l.settle(err == nil, err)
	k.mu.Lock()
	defer k.mu.Unlock()
	if sink == nil {
		return
	}
	if err != nil || k.closed {
		sink.Close()
		if !k.closed {
			k.failures++
			k.say("no snapshot could be taken: %v", err)
		}
		return
	}
	k.work.Add(1)
	checked := make(chan struct{})
	k.adopting = checked
	go func() {
		defer k.work.Done()
		k.adopt(l, sink, info, at, late, checked)
	}()
}

// adopt checks what a tender wrote, keeps it for the next tenders, and stores it.
func (k *keeper) adopt(l *lineage, f *os.File, info snapshot.Info, listened time.Time, late bool, checked chan struct{}) {
	took := "before it listened"
	if !listened.IsZero() {
		took = fmt.Sprintf("in %v", time.Since(listened).Round(100*time.Microsecond))
	}
	err := snapshot.Seal(f)
	if err == nil {
		var got snapshot.Key
		if got, info, err = snapshot.Check(f); err == nil {
			want := k.key
			want.Features = got.Features // the tender's own affair
			if what := got.Differs(want); what != "" {
				err = fmt.Errorf("%w: %s", snapshot.ErrForeign, what)
			}
		}
	}
	k.mu.Lock()
	if err != nil {
		k.failures++
		k.mu.Unlock()
		close(checked)
		f.Close()
		l.settle(false, err)
		k.say("the snapshot is of no use: %v", err)
		return
	}
	keep := k.image == nil && !k.closed
	if keep {
		k.imageGen = l.gen
		k.image = &Snapshot{File: f, Bytes: info.Bytes, Release: func() { f.Close() }}
	}
	k.mu.Unlock()
	close(checked)
	k.say("snapshot taken %s, %s", took, units.HumanBytes(info.Bytes))
	switch {
	case k.private():
		k.say("the snapshot is kept in memory only: what it is of has read secrets")
	case late && !k.pool.spec.Rewind && !k.pool.spec.Fresh:
		k.say("the snapshot is kept in memory only: requests came before it")
	default:
		if err := k.pool.n.opts.Snapshots.Save(k.key, f); err != nil {
			k.say("the snapshot is kept in memory only: %v", err)
		}
	}
	if !keep {
		f.Close()
	}
}

// refuse forgets a snapshot that does not fit after all.
func (k *keeper) refuse(l *lineage, why error) {
	if !l.disown(why) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failures++
	k.drop(why)
}

// drop: Preconditions: mu is held.
func (k *keeper) drop(why error) {
	k.release(&k.stale)
	k.image, k.stale = nil, k.image
	k.say("the snapshot is not used, instances boot: %v", why)
	if err := k.pool.n.opts.Snapshots.Drop(k.key, why); err != nil {
		k.say("the snapshot could not be removed: %v", err)
	}
}

func (k *keeper) say(format string, args ...any) {
	k.pool.n.line(k.pool.spec.Function, "", fmt.Sprintf(format, args...))
}

func (k *keeper) release(s **Snapshot) {
	if *s != nil {
		(*s).Release()
		*s = nil
	}
}

// memory is what the snapshot takes.
func (k *keeper) memory() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.image == nil {
		return 0
	}
	return k.image.Bytes
}

// close lets go of the snapshot; for good, unless the node only closes. Preconditions: the tender is gone.
func (k *keeper) close(closing bool) {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.work.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.release(&k.image)
	k.release(&k.stale)
	if k.keyed {
		if last := k.pool.n.keys.release(k.key); last && !closing {
			_ = k.pool.n.opts.Snapshots.Drop(k.key, nil) // what is left over goes at the next start of the node
		}
		k.keyed = false
	}
}

// snapshotMode is what the environment says.
func snapshotMode(env []string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, EnvSnapshot+"="); ok {
			return v
		}
	}
	return SnapshotAuto
}

// turn says what the next instance is made from. While the snapshot is to be taken one instance boots for it, and the others wait: they
// start faster then, and only what started from the same state shares its memory.
func (l *lineage) turn(ctx context.Context) (o Origin, taker bool, err error) {
	select {
	case <-l.known:
	case l.taker <- struct{}{}:
		select {
		case <-l.known: // both were possible
			<-l.taker
		default:
			return FromBoot, true, nil
		}
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
	if l.usable() {
		return FromSnapshot, false, nil
	}
	return FromBoot, false, nil
}

// listens is told that the instance listens that the snapshot is taken of: now it cannot take long.
func (l *lineage) listens() {
	l.mu.Lock()
	l.at = time.Now()
	l.mu.Unlock()
	time.AfterFunc(snapshotWait, func() {
		select {
		case <-l.known:
		default:
			l.settle(false, errors.New("it is not there yet"))
		}
	})
}

// yield lets another instance be the one, if it is not settled: this one has ended.
func (l *lineage) yield() { <-l.taker }

func (l *lineage) usable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from
}

// reason is why there is no snapshot; nil if there is one or may be.
func (l *lineage) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

func (l *lineage) settle(from bool, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.from, l.why = from, why
	select {
	case <-l.known:
	default:
		close(l.known)
	}
}

// disown has instances boot from now on; it reports false if they do already.
func (l *lineage) disown(why error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.from {
		return false
	}
	l.from, l.why = false, why
	return true
}

// close lets go of what was never filled. Preconditions: the tender is gone.
func (l *lineage) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sink != nil {
		l.sink.Close()
		l.sink = nil
	}
}

// heldKeys are the keys of snapshots that somebody may use.
type heldKeys struct {
	mu sync.Mutex
	n  map[string]int // by ID
}

func (h *heldKeys) hold(k snapshot.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n == nil {
		h.n = map[string]int{}
	}
	k.Features = "" // the tender's own affair
	h.n[k.ID()]++
}

// release reports whether it was the last one's.
func (h *heldKeys) release(k snapshot.Key) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	k.Features = ""
	id := k.ID()
	if h.n[id]--; h.n[id] > 0 {
		return false
	}
	delete(h.n, id)
	return true
}

func (h *heldKeys) held(k snapshot.Key) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	k.Features = ""
	return h.n[k.ID()] > 0
}

// CollectSnapshots drops stored snapshots of revisions that are not served. It is for the start of a node, when all functions are applied; what
// comes later is dropped with its revision.
func (n *Node) CollectSnapshots() {
	if n.opts.Snapshots == nil {
		return
	}
	for _, p := range n.pools("") {
		if p.learnKey() != nil {
			return // an image that cannot be read now may be there later, and its snapshot with it
		}
	}
	_ = n.opts.Snapshots.Keep(n.keys.held) // the next start tries again
}

// learnKey has the pool's key among those that are held.
func (p *pool) learnKey() error {
	if p.snap.private() {
		return nil // none was stored
	}
	c, err := p.tender.config(context.Background())
	if err != nil {
		return err
	}
	defer image.CloseLayers(c.Layers)
	k := &p.snap
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed && snapshotMode(c.Env) != SnapshotOff {
		k.learn(c)
	}
	return nil
}
