// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"unifaas.dev/internal/control/store"
)

// Namespace keeps functions and secrets of the same names apart.
type Namespace struct {
	Name        string            `json:"name"`
	Created     time.Time         `json:"created"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Errors about namespaces that callers tell apart.
var (
	ErrNoNamespace = errors.New("no such namespace")
	ErrExists      = errors.New("it exists already")
	ErrInUse       = errors.New("it is in use")
)

// HasNamespace reports whether there is one.
func (c *Control) HasNamespace(name string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return name == DefaultNamespace || c.namespaces[name] != nil
}

// Namespaces lists all by name. Callers must not change them.
func (c *Control) Namespaces() []*Namespace {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := slices.Collect(maps.Values(c.namespaces))
	if c.namespaces[DefaultNamespace] == nil {
		all = append(all, &Namespace{Name: DefaultNamespace})
	}
	slices.SortFunc(all, func(a, b *Namespace) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Namespace gives one. Callers must not change it.
func (c *Control) Namespace(name string) (*Namespace, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	switch ns := c.namespaces[name]; {
	case ns != nil:
		return ns, nil
	case name == DefaultNamespace:
		return &Namespace{Name: DefaultNamespace}, nil
	}
	return nil, noNamespace(name)
}

func noNamespace(name string) error {
	return fmt.Errorf("namespace %s: %w: make it with unifaas namespace create", clip(name), ErrNoNamespace)
}

// Limits of what is kept beside a name.
const (
	maxNotes     = 256 << 10 // bytes of labels and annotations
	maxNoteName  = 253
	maxNamespace = 10000
)

func checkNotes(what string, all ...map[string]string) error {
	total := 0
	for _, m := range all {
		for k, v := range m {
			if k == "" || len(k) > maxNoteName {
				return invalid("%s: label or annotation %q: a name has 1 to %d bytes", what, clip(k), maxNoteName)
			}
			total += len(k) + len(v)
		}
	}
	if total > maxNotes {
		return invalid("%s: labels and annotations of %d bytes, at most %d", what, total, maxNotes)
	}
	return nil
}

// CreateNamespace makes one; ErrExists if there is one.
func (c *Control) CreateNamespace(ctx context.Context, ns Namespace) error {
	if err := CheckNamespace(ns.Name); err != nil {
		return err
	}
	if err := checkNotes("namespace "+ns.Name, ns.Labels, ns.Annotations); err != nil {
		return err
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.HasNamespace(ns.Name) {
		return fmt.Errorf("namespace %s: %w", ns.Name, ErrExists)
	}
	if len(c.Namespaces()) >= maxNamespace {
		return invalid("there are %d namespaces already", maxNamespace)
	}
	for _, f := range c.List() {
		if strings.HasSuffix(f.Name, "."+ns.Name) {
			return fmt.Errorf("namespace %s: function %s of another namespace is called as if it were in it: %w", ns.Name, f.Name, ErrInUse)
		}
	}
	ns.Created = time.Now().UTC().Truncate(time.Millisecond)
	return c.saveNamespace(ctx, ns, 0)
}

// UpdateNamespace replaces labels and annotations.
func (c *Control) UpdateNamespace(ctx context.Context, ns Namespace) error {
	if err := checkNotes("namespace "+clip(ns.Name), ns.Labels, ns.Annotations); err != nil {
		return err
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	old, err := c.Namespace(ns.Name)
	if err != nil {
		return err
	}
	var version uint64
	var damaged *store.DamagedError
	switch e, err := c.store.Get(ctx, store.Key{Kind: store.Namespaces, Name: ns.Name}); {
	case err == nil:
		version = e.Version
	case errors.Is(err, store.ErrNotFound), errors.As(err, &damaged):
	default:
		return err
	}
	ns.Created = old.Created
	return c.saveNamespace(ctx, ns, version)
}

// saveNamespace: Preconditions: changing is held.
func (c *Control) saveNamespace(ctx context.Context, ns Namespace, after uint64) error {
	value, err := json.Marshal(ns)
	if err != nil {
		return err
	}
	if _, err = c.store.Put(ctx, store.Key{Kind: store.Namespaces, Name: ns.Name}, value, after); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.namespaces[ns.Name] = &ns
	return nil
}

// DeleteNamespace removes an empty one.
func (c *Control) DeleteNamespace(ctx context.Context, name string) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if name == DefaultNamespace {
		return fmt.Errorf("namespace %s: %w: it is there always", name, ErrInUse)
	}
	if !c.HasNamespace(name) {
		return noNamespace(name)
	}
	if n := len(c.In(name)); n > 0 {
		return fmt.Errorf("namespace %s: %w: remove its %d functions first", name, ErrInUse, n)
	}
	if list, err := c.secrets.List(ctx, name); err != nil {
		return err
	} else if len(list) > 0 {
		return fmt.Errorf("namespace %s: %w: remove its %d secrets first", name, ErrInUse, len(list))
	}
	if err := c.store.Delete(ctx, store.Key{Kind: store.Namespaces, Name: name}); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.namespaces, name)
	return nil
}

// readNamespaces takes over what the store has. Functions in a namespace whose record is damaged stay callable by their keys.
func (c *Control) readNamespaces(ctx context.Context) (damaged []error, err error) {
	entries, damaged, err := c.store.List(ctx, store.Namespaces)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		ns, err := decodeNamespace(e)
		if err != nil {
			damaged = append(damaged, fmt.Errorf("record of namespace %s is damaged: %w", e.Key.Name, err))
			continue
		}
		c.namespaces[ns.Name] = ns
	}
	return damaged, nil
}

func decodeNamespace(e store.Entry) (*Namespace, error) {
	ns := new(Namespace)
	if err := json.Unmarshal(e.Value, ns); err != nil {
		return nil, err
	}
	if ns.Name != e.Key.Name {
		return nil, fmt.Errorf("it is the record of %q", ns.Name)
	}
	return ns, CheckNamespace(ns.Name)
}

// changedNamespace follows a change that may have been made elsewhere.
func (c *Control) changedNamespace(e store.Event) {
	c.changing.Lock()
	defer c.changing.Unlock()
	now, err := c.store.Get(context.Background(), e.Entry.Key)
	gone := errors.Is(err, store.ErrNotFound)
	if err != nil && !gone {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if gone {
		delete(c.namespaces, e.Entry.Key.Name)
	} else if ns, err := decodeNamespace(now); err == nil {
		c.namespaces[ns.Name] = ns
	}
}
