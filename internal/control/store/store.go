// SPDX-License-Identifier: Apache-2.0

// Package store is the seam between the control plane and whatever keeps its state: small values under typed keys, each
// with a version, and changes that can be watched. It has no queries and no transactions over several keys, so that a
// folder of files and a replicated key-value store can both stand behind it.
package store

import (
	"context"
	"errors"
	"fmt"
)

// Kind is a type of record.
type Kind string

// The kinds there are.
const (
	Functions  Kind = "functions"
	Secrets    Kind = "secrets"
	Namespaces Kind = "namespaces"
)

// Key names a record.
type Key struct {
	Kind Kind
	Name string
}

func (k Key) String() string { return string(k.Kind) + "/" + k.Name }

// Entry is a record.
type Entry struct {
	Key     Key
	Value   []byte
	Version uint64 // grows with each change of the record; never 0
}

// Event is a change. Entry.Value is nil when the record was deleted.
type Event struct {
	Entry   Entry
	Deleted bool
}

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("changed by somebody else meanwhile")
)

// DamagedError is a record that is there but cannot be read.
type DamagedError struct {
	Key   Key
	Where string
	Err   error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Where, e.Err) }
func (e *DamagedError) Unwrap() error { return e.Err }

// Store keeps records. What Put and Delete return is on disk, or wherever it has to be to survive.
type Store interface {
	Get(ctx context.Context, k Key) (Entry, error)
	// Put writes a record if its version is still after; 0: if there is none, or it is damaged. It returns the new version.
	Put(ctx context.Context, k Key, value []byte, after uint64) (uint64, error)
	// Delete removes a record, whatever its version; a damaged one too.
	Delete(ctx context.Context, k Key) error
	// List gives all records of a kind that can be read, by name, and a *DamagedError for each that cannot.
	List(ctx context.Context, kind Kind) ([]Entry, []error, error)
	// Watch gives the changes of a kind made after the call, until ctx ends. A reader that is too slow loses nothing
	// but sees only the last change of a record.
	Watch(ctx context.Context, kind Kind) <-chan Event
	Close() error
}
