// SPDX-License-Identifier: Apache-2.0

// Package snapshot says what the state of a sandbox consists of when it is kept: the key that says where it fits, the image of a
// snapshot as a file, and what stands in it beside memory.
//
// It reads and checks files and never touches guest memory: package state does, inside tenders; package store keeps images on the node's
// disk. All that is read is hostile: checked, then used, refused by name if it does not fit.
//
// # Image
//
// A memory file, sealed once complete, of which all tenders of a revision map the same pages:
//
//	0 ........ Memory            guest RAM, each page at its physical address; what Meta.Data does not name is a hole
//	Memory ... + 2 MiB           the shared area, without its rings: both are empty
//	then                         Meta, encoded
//	last 64 bytes                trailer: magic, format version, length of Meta, CRC of Meta, CRC of memory
//
// A page of RAM that is the same as one of the image's layers is a hole too, and named in Meta.Shared: it is taken from the layer, which
// all functions with that layer share. All other pages are zero.
package snapshot

import (
	"errors"
)

// Format is the version of images and deltas.
const Format = 2

// Errors that say why a snapshot is of no use here; the function boots instead. They are wrapped with what is wrong.
var (
	ErrDamaged = errors.New("snapshot is damaged")
	ErrForeign = errors.New("snapshot is of another kind")
)

// Key is what a state depends on. Two states with the same key fit the same sandboxes.
type Key struct {
	Libos    [32]byte   // SHA-256 of the library OS file
	ABI      uint32     // abi.Version
	Features string     // monitor.Stateful.Features
	Memory   int64      // bytes of RAM
	Layers   [][32]byte // identity of the image's layers, lowest first: digests
	Program  [32]byte   // of what the boot block says: program, arguments, environment and so on, but for the host name
}

// Link is the host's side of the queues at the moment of the snapshot: both rings are empty, no stream is open but Ahead.
type Link struct {
	RxHead uint64 // = the guest's tail
	TxTail uint64 // = the guest's head
	Next   uint32 // id of the next stream
	Ports  []uint16
	// Ahead is the id of a stream that the program has accepted and on which no byte has gone either way: the first one that is asked for
	// on AheadPort is that. 0: there is none.
	Ahead     uint32
	AheadPort uint16
	Stdin     uint32    // credit that the guest has given for standard input
	Window    [2]uint32 // credit that the guest has left for standard output and error
	Closed    uint8     // bit n: console stream n is closed by the guest
}

// Meta is all of a state that is not memory.
type Meta struct {
	Key  Key
	CPU  []byte // monitor.Stateful.SaveCPU
	Link Link
	Mono uint64 // the guest's CLOCK_MONOTONIC, ns
	Host uint64 // the host's at that moment
	// Shared are pages of RAM that are in the image's layers, in order, apart from each other.
	Shared []Extent
	// Data are the pages of RAM that are in the image, in order, apart from each other and from Shared.
	Data []Run
}

// Run is a run of pages of RAM.
type Run struct {
	Page  uint32
	Pages uint32
}

// Extent is a run of pages of RAM found in the image area (abi.ImageGPA).
type Extent struct {
	RAM   uint32 // first page of RAM
	Image uint32 // first page of the image area
	Pages uint32
}

// Info says what a snapshot consists of.
type Info struct {
	Pages  int   // of RAM in the image
	Shared int   // of RAM taken from layers
	Bytes  int64 // of the file that are not holes
}
