// SPDX-License-Identifier: Apache-2.0

// Package queue is the host side of the two rings in the shared area: messages to the guest (Rx) and from it (Tx).
//
// A ring is a stream of bytes in a power-of-two buffer: one side owns the head, the other the tail, both count for ever.
// A message is a header and a payload, padded to abi.MsgAlign; payloads wrap around the end of the buffer, headers
// never do. The guest's index and all bytes it writes are hostile: copied once, checked, used. An error from here
// means that the guest lies; nothing can be repaired and its instance has to end.
//
// What messages mean (streams, credit) is not known here.
package queue

import (
	"encoding/binary"
	"fmt"

	"unifaas.dev/abi"
	"unifaas.dev/internal/guestmem"
)

// Msg is the header of a message; Len is the length of the payload.
type Msg = abi.Msg

// CorruptError says what the guest did to a ring.
type CorruptError struct {
	Ring string // "rx" or "tx"
	What string
}

func (e *CorruptError) Error() string { return "guest corrupted its " + e.Ring + " ring: " + e.What }

func corrupt(ring, format string, args ...any) error {
	return &CorruptError{Ring: ring, What: fmt.Sprintf(format, args...)}
}

// ring is one direction: where its buffer and its indices are.
type ring struct {
	area  *guestmem.Area
	off   uint64 // buffer
	size  uint64
	index uint64 // ours, never read back from the guest
}

// place splits [index, index+n) into its part up to the end of the buffer and the part that wrapped.
func (r *ring) place(index, n uint64) (off, first uint64) {
	at := index & (r.size - 1)
	return r.off + at, min(n, r.size-at)
}

func (r *ring) read(p []byte, index uint64) error {
	off, first := r.place(index, uint64(len(p)))
	if err := r.area.ReadAt(p[:first], off); err != nil {
		return err
	}
	return r.area.ReadAt(p[first:], r.off)
}

func (r *ring) write(p []byte, index uint64) error {
	off, first := r.place(index, uint64(len(p)))
	if err := r.area.WriteAt(p[:first], off); err != nil {
		return err
	}
	return r.area.WriteAt(p[first:], r.off)
}

// padded is what a message with n bytes of payload takes in a ring.
func padded(n uint64) uint64 {
	return (abi.MsgSize + n + abi.MsgAlign - 1) &^ (abi.MsgAlign - 1)
}

func putHeader(b *[abi.MsgSize]byte, m Msg) {
	binary.LittleEndian.PutUint32(b[0:], m.Len)
	binary.LittleEndian.PutUint16(b[4:], m.Type)
	binary.LittleEndian.PutUint16(b[6:], m.Flags)
	binary.LittleEndian.PutUint32(b[8:], m.Conn)
	binary.LittleEndian.PutUint32(b[12:], m.Arg)
}

func getHeader(b *[abi.MsgSize]byte) Msg {
	return Msg{
		Len:   binary.LittleEndian.Uint32(b[0:]),
		Type:  binary.LittleEndian.Uint16(b[4:]),
		Flags: binary.LittleEndian.Uint16(b[6:]),
		Conn:  binary.LittleEndian.Uint32(b[8:]),
		Arg:   binary.LittleEndian.Uint32(b[12:]),
	}
}
