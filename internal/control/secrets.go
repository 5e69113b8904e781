// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"unifaas.dev/internal/control/store"
	"unifaas.dev/internal/seal"
)

// Limits of secrets.
const (
	MaxSecretName = 253
	MaxSecret     = 512 << 10 // bytes: with what encryption and JSON add, a record that any NATS server takes
)

// Errors of Secrets.
var (
	ErrNoSecret     = errors.New("there is no such secret")
	ErrSecretExists = errors.New("there is a secret of that name already")
)

// Secret is a secret without its value.
type Secret struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Created   time.Time `json:"created"`
	Changed   time.Time `json:"changed"`
	Version   uint64    `json:"-"` // grows with each change
}

// Secrets are kept in the store, encrypted with the node's master key. Values are never written to any log or error.
type Secrets struct {
	store store.Store
	key   *seal.Key

	changing sync.Mutex
}

// sealedSecret is what a record holds. The value is sealed for the record's own key, so that nobody can exchange two of them.
type sealedSecret struct {
	Secret
	Key   string `json:"key"` // which master key: seal.Key.ID
	Value []byte `json:"value"`
}

// NewSecrets gives access to the secrets of a store.
func NewSecrets(s store.Store, key *seal.Key) *Secrets { return &Secrets{store: s, key: key} }

var secretForm = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)

// CheckSecretName says in one line what is wrong with the name of a secret, which becomes that of a file.
func CheckSecretName(name string) error {
	if !secretForm.MatchString(name) || len(name) > MaxSecretName || strings.Trim(name, ".") == "" {
		return invalid("secret name %q: use letters, digits, '-', '_' and '.', at most %d of them", clip(name), MaxSecretName)
	}
	return nil
}

// secretKey is where a secret is kept.
func secretKey(namespace, name string) (store.Key, error) {
	namespace = cmp.Or(namespace, DefaultNamespace)
	if err := CheckNamespace(namespace); err != nil {
		return store.Key{}, err
	}
	if err := CheckSecretName(name); err != nil {
		return store.Key{}, err
	}
	return store.Key{Kind: store.Secrets, Name: namespace + "/" + name}, nil
}

// Create adds a secret; ErrSecretExists if there is one of that name.
func (s *Secrets) Create(ctx context.Context, namespace, name string, value []byte) error {
	return s.put(ctx, namespace, name, value, func(old *sealedSecret) error {
		if old != nil {
			return fmt.Errorf("secret %s: %w", name, ErrSecretExists)
		}
		return nil
	})
}

// Update gives a secret another value; ErrNoSecret if there is none of that name.
func (s *Secrets) Update(ctx context.Context, namespace, name string, value []byte) error {
	return s.put(ctx, namespace, name, value, func(old *sealedSecret) error {
		if old == nil {
			return fmt.Errorf("secret %s: %w", name, ErrNoSecret)
		}
		return nil
	})
}

// Put does one or the other.
func (s *Secrets) Put(ctx context.Context, namespace, name string, value []byte) error {
	return s.put(ctx, namespace, name, value, func(*sealedSecret) error { return nil })
}

func (s *Secrets) put(ctx context.Context, namespace, name string, value []byte, allow func(old *sealedSecret) error) error {
	k, err := secretKey(namespace, name)
	if err != nil {
		return err
	}
	if len(value) > MaxSecret {
		return invalid("secret %s: %d bytes, at most %d", name, len(value), MaxSecret)
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	now := time.Now().UTC().Truncate(time.Millisecond)
	next := sealedSecret{Key: s.key.ID(), Value: s.key.Seal(k.Name, value)}
	next.Namespace, next.Name, next.Created, next.Changed = cmp.Or(namespace, DefaultNamespace), name, now, now
	var old *sealedSecret
	e, err := s.store.Get(ctx, k)
	switch {
	case err == nil:
		if old, err = decodeSecret(e); err != nil {
			old = &next // damaged: it is replaced
		}
		next.Created = old.Created
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	if err := allow(old); err != nil {
		return err
	}
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	_, err = s.store.Put(ctx, k, text, e.Version)
	return err
}

// Get gives the value of a secret.
func (s *Secrets) Get(ctx context.Context, namespace, name string) ([]byte, Secret, error) {
	k, err := secretKey(namespace, name)
	if err != nil {
		return nil, Secret{}, err
	}
	e, err := s.store.Get(ctx, k)
	if errors.Is(err, store.ErrNotFound) {
		return nil, Secret{}, fmt.Errorf("secret %s: %w", name, ErrNoSecret)
	}
	if err != nil {
		return nil, Secret{}, err
	}
	r, err := decodeSecret(e)
	if err != nil {
		return nil, Secret{}, fmt.Errorf("secret %s is damaged: %w: set it again", name, err)
	}
	value, err := s.key.Open(k.Name, r.Key, r.Value)
	if errors.Is(err, seal.ErrOtherKey) {
		return nil, Secret{}, fmt.Errorf("secret %s: %w: bring that one back, or set the secret again", name, err)
	}
	if err != nil {
		return nil, Secret{}, fmt.Errorf("secret %s: %w: set it again", name, err)
	}
	return value, r.Secret, nil
}

// version is that of a secret, 0 if there is none.
func (s *Secrets) version(ctx context.Context, namespace, name string) (uint64, error) {
	k, err := secretKey(namespace, name)
	if err != nil {
		return 0, err
	}
	e, err := s.store.Get(ctx, k)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return e.Version, err
}

// List gives the secrets of a namespace, by name. What is damaged is in it, with its name.
func (s *Secrets) List(ctx context.Context, namespace string) ([]Secret, error) {
	prefix := cmp.Or(namespace, DefaultNamespace) + "/"
	entries, _, err := s.store.List(ctx, store.Secrets)
	if err != nil {
		return nil, err
	}
	list := []Secret{}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Key.Name, prefix)
		if !ok {
			continue
		}
		r, err := decodeSecret(e)
		if err != nil {
			r = &sealedSecret{Secret: Secret{Namespace: strings.TrimSuffix(prefix, "/"), Name: name, Version: e.Version}}
		}
		list = append(list, r.Secret)
	}
	slices.SortFunc(list, func(a, b Secret) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Delete takes a secret away.
func (s *Secrets) Delete(ctx context.Context, namespace, name string) error {
	k, err := secretKey(namespace, name)
	if err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	err = s.store.Delete(ctx, k)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("secret %s: %w", name, ErrNoSecret)
	}
	return err
}

// check names the secrets that cannot be read.
func (s *Secrets) check(ctx context.Context) ([]error, error) {
	entries, damaged, err := s.store.List(ctx, store.Secrets)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		r, err := decodeSecret(e)
		if err == nil {
			_, err = s.key.Open(e.Key.Name, r.Key, r.Value)
		}
		if err != nil {
			damaged = append(damaged, fmt.Errorf("secret %s cannot be read: %w: set it again", e.Key.Name, err))
		}
	}
	return damaged, nil
}

func decodeSecret(e store.Entry) (*sealedSecret, error) {
	r := new(sealedSecret)
	if err := json.Unmarshal(e.Value, r); err != nil {
		return nil, err
	}
	if r.Namespace+"/"+r.Name != e.Key.Name {
		return nil, fmt.Errorf("it is the record of %q", clip(r.Namespace+"/"+r.Name))
	}
	r.Version = e.Version
	return r, nil
}
