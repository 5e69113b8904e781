// SPDX-License-Identifier: Apache-2.0

// Package storetest gives tests of the control plane and of what is above it a store, an engine behind it included.
package storetest

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"unifaas.dev/internal/control/natsstore"
	"unifaas.dev/internal/control/store"
	"unifaas.dev/internal/engine"
	"unifaas.dev/internal/seal"
)

// Store is a store with its engine.
type Store struct {
	*natsstore.Store
	Engine *engine.Engine
}

// Open opens the store below a folder of a test, which closes it.
func Open(t testing.TB, dir string) *Store {
	t.Helper()
	e, err := engine.Open(context.Background(), engine.Options{Dir: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := natsstore.Open(context.Background(), e, store.Functions, store.Secrets, store.Namespaces)
	if err != nil {
		e.Close()
		t.Fatal(err)
	}
	return &Store{s, e}
}

// Close closes both.
func (s *Store) Close() error {
	err := s.Store.Close()
	s.Engine.Close()
	return err
}

// Key is a master key.
func Key(t testing.TB) *seal.Key {
	t.Helper()
	k, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
