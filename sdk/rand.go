// SPDX-License-Identifier: Apache-2.0

package sdk

import (
	crand "crypto/rand"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// source is a generator that seeds itself anew where another process has the same state.
type source struct {
	mu    sync.Mutex
	gen   *rand.ChaCha8
	alive *uint32
}

func (s *source) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen == nil || s.alive != nil && atomic.LoadUint32(s.alive) == 0 {
		var seed [32]byte
		crand.Read(seed[:]) // never fails
		s.gen = rand.NewChaCha8(seed)
		if s.alive != nil {
			atomic.StoreUint32(s.alive, 1)
		}
	}
	return s.gen.Uint64()
}

// Rand is a generator of random numbers that takes new seed from the kernel after a restore, before it gives its next number. It can be used by
// several goroutines. Where the kernel cannot say that the process was copied, it is seeded once.
func Rand() *rand.Rand { return rand.New(&source{alive: wipedWord()}) }
