// SPDX-License-Identifier: Apache-2.0

package node

import "time"

// Observer is told what happens to instances, for statistics. Its methods return at once; the node's locks may be held.
type Observer interface {
	// Made is told of an instance that has become ready: what it was made from (boot, snapshot, parked), and how long each part of it took.
	Made(function, origin string, p Parts)
	// Ended is told how an instance ended: a kind of Exit, EndStart or EndParked.
	Ended(function, kind string)
	// Forgotten is told of a function that is not served any more.
	Forgotten(function string)
}

// How an instance ended that had no program any more, beside the kinds of Exit.
const (
	EndStart  = "start"  // it never was ready
	EndParked = "parked" // while it was parked
)

// Parts is how long the parts of making an instance took.
type Parts struct {
	Tender time.Duration // start of the tender process
	BootTiming
	Total time.Duration
}

// nobody is the Observer of a node that has none.
type nobody struct{}

func (nobody) Made(string, string, Parts) {}
func (nobody) Ended(string, string)       {}
func (nobody) Forgotten(string)           {}
