// SPDX-License-Identifier: Apache-2.0

// Package control keeps what functions there are: it checks deployments, makes revisions of them, stores them, and has
// the node serve the current one. It does not know how instances are run nor what requests look like.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"unifaas.dev/internal/control/store"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/logs"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/seal"
)

// ErrNotFound is a function that is not deployed.
var ErrNotFound = node.ErrNoFunction

// Images is what control needs of the image store.
type Images interface {
	Manifest(ref string) (image.Manifest, error)
	// Publish has an image where it survives this node, before a function uses it.
	Publish(ctx context.Context, digest string) error
}

// Puller is an image store that can also bring images from registries.
type Puller interface {
	Pull(ctx context.Context, ref, policy string) (image.Manifest, error)
}

// image finds the image that a deployment names. It may take minutes: nothing is locked meanwhile.
func (c *Control) image(ctx context.Context, d *Deployment) (m image.Manifest, err error) {
	switch p, ok := c.images.(Puller); {
	case d.Image == "":
		return m, nil
	case !strings.HasPrefix(d.Image, "sha256:") && image.CheckName(d.Image) != nil:
		return m, &InvalidError{image.CheckName(d.Image).Error()}
	case image.CheckPull(d.Pull) != nil:
		return m, &InvalidError{image.CheckPull(d.Pull).Error()}
	case ok:
		m, err = p.Pull(ctx, d.Image, d.Pull)
	default:
		m, err = c.images.Manifest(d.Image)
	}
	if errors.Is(err, image.ErrNotFound) {
		return m, &InvalidError{err.Error()}
	}
	if err != nil {
		return m, err
	}
	return m, c.images.Publish(ctx, m.Digest)
}

// Control is the control plane of one node.
type Control struct {
	store   store.Store
	secrets *Secrets
	images  Images
	node    *node.Node
	logs    *logs.Book

	changing sync.Mutex // one change at a time, from reading a record to applying it

	mu         sync.RWMutex
	functions  map[string]*entry
	namespaces map[string]*Namespace

	stop  context.CancelFunc
	watch sync.WaitGroup
}

// entry is a function as the store has it. The Function is never changed, only replaced.
type entry struct {
	*Function
	version  uint64
	replaced chan struct{} // closed when this is not the last word any more
}

// Parts are what a control plane is made of.
type Parts struct {
	Store  store.Store
	Key    *seal.Key // of secrets
	Images Images
	Node   *node.Node
	Logs   *logs.Book
}

// New reads what is deployed and has the node serve it. damaged lists records that could not be read, and what to do about them.
func New(ctx context.Context, p Parts) (c *Control, damaged []error, err error) {
	s := p.Store
	c = &Control{store: s, secrets: NewSecrets(s, p.Key), images: p.Images, node: p.Node, logs: p.Logs, functions: map[string]*entry{}, namespaces: map[string]*Namespace{}}
	watching, stop := context.WithCancel(context.Background())
	events := s.Watch(watching, store.Functions) // before List: nothing is missed between the two
	spaces := s.Watch(watching, store.Namespaces)
	changedSecrets := s.Watch(watching, store.Secrets)
	damaged, err = c.readNamespaces(ctx)
	if err != nil {
		stop()
		return nil, nil, err
	}
	entries, bad, err := s.List(ctx, store.Functions)
	if err != nil {
		stop()
		return nil, nil, err
	}
	for _, e := range entries {
		f, err := decode(e)
		if err != nil {
			bad = append(bad, &store.DamagedError{Key: e.Key, Where: "record of function " + e.Key.Name, Err: err})
			continue
		}
		c.apply(f, e.Version)
	}
	for _, err := range bad {
		damaged = append(damaged, fmt.Errorf("%w: its function is not served: deploy it again or remove it", err))
	}
	unreadable, err := c.secrets.check(ctx)
	if err != nil {
		stop()
		return nil, nil, err
	}
	damaged = append(damaged, unreadable...)
	c.stop = stop
	c.watch.Go(func() {
		for e := range events {
			c.changed(e)
		}
	})
	c.watch.Go(func() {
		for e := range spaces {
			c.changedNamespace(e)
		}
	})
	c.watch.Go(func() {
		for e := range changedSecrets {
			if ns, name, ok := strings.Cut(e.Entry.Key.Name, "/"); ok && !e.Deleted {
				c.renew(ns, name)
			}
		}
	})
	return c, damaged, nil
}

// Secrets are those of all namespaces.
func (c *Control) Secrets() *Secrets { return c.secrets }

// Close stops to follow the store.
func (c *Control) Close() {
	c.stop()
	c.watch.Wait()
}

func decode(e store.Entry) (*Function, error) {
	f := new(Function)
	if err := json.Unmarshal(e.Value, f); err != nil {
		return nil, err
	}
	if err := f.check(e.Key.Name); err != nil {
		return nil, err
	}
	f.normal()
	return f, nil
}

// changed follows a change that may have been made elsewhere; one of our own is applied already. The event only says
// that something happened: by the time it is looked at, the store may know better.
func (c *Control) changed(e store.Event) {
	c.changing.Lock()
	defer c.changing.Unlock()
	now, err := c.store.Get(context.Background(), e.Entry.Key)
	if errors.Is(err, store.ErrNotFound) {
		c.forget(e.Entry.Key.Name)
	}
	if err != nil {
		return
	}
	if f, err := decode(now); err == nil {
		c.apply(f, now.Version)
	}
}

// apply has a function served, unless a newer version is. Preconditions: changing is held, or nobody else is there yet.
func (c *Control) apply(f *Function, version uint64) {
	c.mu.Lock()
	if old := c.functions[f.Name]; old != nil && old.version >= version && !old.Created.Before(f.Created) {
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.replace(f, version)
	c.serve(f)
}

// replace makes f what is known of a function. Preconditions: as for apply.
func (c *Control) replace(f *Function, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.functions[f.Name]; old != nil {
		close(old.replaced)
	}
	c.functions[f.Name] = &entry{f, version, make(chan struct{})}
}

// forget stops to serve a function. Preconditions: changing is held.
func (c *Control) forget(name string) {
	c.mu.Lock()
	old := c.functions[name]
	delete(c.functions, name)
	c.mu.Unlock()
	if old == nil {
		return
	}
	close(old.replaced)
	c.node.Remove(name, func() {
		c.mu.RLock()
		_, again := c.functions[name]
		c.mu.RUnlock()
		if !again {
			c.logs.Remove(name)
		}
	})
}

// Deploy makes a function, or a new revision of it if anything about its instances changes. created reports which. It does not wait until the
// revision answers: Await does.
func (c *Control) Deploy(ctx context.Context, d Deployment) (f *Function, created bool, err error) {
	if err := CheckName(d.Name); err != nil {
		return nil, false, err
	}
	m, err := c.image(ctx, &d)
	if err != nil {
		return nil, false, err
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	key, ok := c.key(d.Name)
	if !ok {
		return nil, false, invalid("function name %q: it names two namespaces", clip(d.Name))
	}
	d.Name = key
	if name, _ := c.SplitName(d.Name); len(name) > MaxName {
		return nil, false, CheckName(name)
	}
	old, version, err := c.stored(ctx, d.Name)
	if err != nil {
		return nil, false, err
	}
	if old == nil && d.Image == "" {
		return nil, false, invalid("function %s is not deployed yet: say which image or program it is", d.Name)
	}
	config, scale, err := d.onto(old)
	if err != nil {
		return nil, false, err
	}
	if d.Image != "" {
		config.Image, config.ImageName, config.Port = m.Digest, d.Image, m.Port
		if d.Contract == "" && m.Contract != "" {
			config.Contract = m.Contract
		}
		if d.ImageName != "" {
			config.ImageName = d.ImageName
		}
	}
	if err := config.bridged(&d, m.Contract, old); err != nil {
		return nil, false, err
	}
	if err := check(d.Name, config, scale); err != nil {
		return nil, false, err
	}
	if err := c.checkSecrets(ctx, d.Name, config.Secrets, &m); err != nil {
		return nil, false, err
	}
	if err := checkAsync(d.Annotations); err != nil {
		return nil, false, err
	}
	if err := checkNotes("function "+d.Name, d.Labels, d.Annotations); err != nil {
		return nil, false, err
	}
	if err := image.CheckName(config.ImageName); err != nil && config.ImageName != config.Image {
		return nil, false, &InvalidError{err.Error()}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	f = &Function{Name: d.Name, Created: now, Scale: scale, Labels: d.Labels, Annotations: d.Annotations, Requests: d.Requests, Constraints: d.Constraints}
	next := Revision{Number: 1, Created: now, State: Pending, Config: config}
	if old != nil {
		f.Created, f.Revisions, f.Target, f.Serving = old.Created, slices.Clone(old.Revisions), old.Target, old.Serving
		next.Number = f.Revisions[len(f.Revisions)-1].Number + 1
		if d.Image == "" && d.Labels == nil {
			f.Labels = old.Labels
		}
		if d.Image == "" && d.Annotations == nil {
			f.Annotations = old.Annotations
		}
		if d.Image == "" {
			f.Requests, f.Constraints = old.Requests, old.Constraints
		}
	}
	if old == nil || !old.Wanted().equal(config) || old.Wanted().State == Failed {
		f.Revisions = append(f.Revisions, next)
		f.want(next.Number)
		f.trim()
	}
	return f, old == nil, c.save(ctx, f, version)
}

// SetScale changes the number of instances that are kept. Max grows with it where it has to.
func (c *Control) SetScale(ctx context.Context, name string, instances int) (*Function, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	old, version, err := c.stored(ctx, name)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, ErrNotFound
	}
	f := *old
	f.Scale.Min, f.Scale.Max = instances, max(old.Scale.Max, instances, 1)
	if err := checkScale(f.Scale); err != nil {
		return nil, invalid("%d instances: choose from 0 to %d", instances, MaxInstances)
	}
	if err := c.save(ctx, &f, version); err != nil {
		return nil, err
	}
	c.node.Scale(name, f.Scale)
	return &f, nil
}

// stored reads a function's record; nil if there is none, or a damaged one, which is to be replaced.
func (c *Control) stored(ctx context.Context, name string) (*Function, uint64, error) {
	e, err := c.store.Get(ctx, store.Key{Kind: store.Functions, Name: name})
	var damaged *store.DamagedError
	switch {
	case errors.Is(err, store.ErrNotFound), errors.As(err, &damaged):
		return nil, 0, nil
	case err != nil:
		return nil, 0, err
	}
	f, err := decode(e)
	if err != nil {
		return nil, e.Version, nil
	}
	return f, e.Version, nil
}

// save stores a function and has it served. Preconditions: changing is held.
func (c *Control) save(ctx context.Context, f *Function, version uint64) error {
	value, err := json.Marshal(f)
	if err != nil {
		return err
	}
	version, err = c.store.Put(ctx, store.Key{Kind: store.Functions, Name: f.Name}, value, version)
	if err != nil {
		return err
	}
	c.apply(f, version)
	return nil
}

// Dismiss ends all instances of a function that run nothing and, if none is left, its tender: the next invocation is as the first one on this node.
// It reports whether none is left.
func (c *Control) Dismiss(ctx context.Context, name string) (bool, error) {
	if _, err := c.Get(name); err != nil {
		return false, err
	}
	return c.node.Dismiss(ctx, name)
}

// Park parks the instances of a function that run nothing, now, and says how many still run.
func (c *Control) Park(ctx context.Context, name string) (running int, err error) {
	return c.node.Park(ctx, name)
}

// Remove takes a function away; its instances end when they have finished what they run.
func (c *Control) Remove(ctx context.Context, name string) error {
	if CheckName(name) != nil {
		return ErrNotFound
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	err := c.store.Delete(ctx, store.Key{Kind: store.Functions, Name: name})
	if errors.Is(err, store.ErrNotFound) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	c.forget(name)
	return nil
}

// Get gives a function. Callers must not change it.
func (c *Control) Get(name string) (*Function, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.functions[name]; e != nil {
		return e.Function, nil
	}
	return nil, ErrNotFound
}

// List gives all functions by name. Callers must not change them.
func (c *Control) List() []*Function {
	c.mu.RLock()
	list := make([]*Function, 0, len(c.functions))
	for _, e := range c.functions {
		list = append(list, e.Function)
	}
	c.mu.RUnlock()
	slices.SortFunc(list, func(a, b *Function) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Invoke starts an invocation of a function that arrived at a time.
func (c *Control) Invoke(function string, arrived time.Time) *node.Invocation {
	return c.node.Invoke(function, arrived)
}

// Status says how a function does on this node.
func (c *Control) Status(function string) node.FunctionStatus { return c.node.Function(function) }

// Instances lists the instances of a function, or of all with an empty name.
func (c *Control) Instances(ctx context.Context, function string, usage bool) []node.InstanceStatus {
	return c.node.Instances(ctx, function, usage)
}

// SomeInstances leaves out parked ones of revisions that have more than so many of them.
func (c *Control) SomeInstances(ctx context.Context, function string, usage bool, parked int) []node.InstanceStatus {
	return c.node.SomeInstances(ctx, function, usage, parked)
}

// Memory says what instances, shells, snapshots and parked instances take.
func (c *Control) Memory(ctx context.Context) node.MemoryStatus { return c.node.Memory(ctx) }

// Runtime names what instances run in.
func (c *Control) Runtime() string { return c.node.Runtime() }

// Logs gives lines of a function's log.
func (c *Control) Logs(function string, q logs.Query) []logs.Line { return c.logs.Read(function, q) }

// FollowLogs gives lines of a function's log as they come.
func (c *Control) FollowLogs(ctx context.Context, function string, q logs.Query, emit func([]logs.Line) error) error {
	return c.logs.Follow(ctx, function, q, emit)
}
