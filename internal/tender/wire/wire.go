// SPDX-License-Identifier: Apache-2.0

// Package wire is the protocol between a node and one of its tenders: typed messages on a SOCK_SEQPACKET socket pair,
// descriptors beside them.
//
// It knows how messages look, not what they do. Both sides check what they receive: a message that does not parse ends
// the tender, whichever side it came from.
package wire

import (
	"errors"
	"fmt"
)

// Limits of one message.
const (
	Version   = 2
	MaxInline = 72 << 10  // bytes of a message on the socket, header included
	MaxBody   = 512 << 10 // bytes of a body that travels in a memfd: arguments and environment can be large
	MaxFDs    = 14        // descriptors beside one message
	MaxText   = 4 << 10   // bytes of a one-line error or reason
	MaxReport = 32 << 10  // bytes of the report of an instance's end
	MaxOutput = 32 << 10  // bytes of console output in one message

	headerSize = 4
	flagInFD   = 1 // the body is in the last descriptor
)

// Message types. Commands go from the node to the tender, events come back.
const (
	TypeLoad = 1 + iota
	TypeStart
	TypeDial
	TypeKill
	TypeSignal
	TypeStats
	TypeStop
	TypeSpawn
)

// Events.
const (
	TypeLoaded = 64 + iota
	TypeStarted
	TypeListening
	TypeUnlistening
	TypeOutput
	TypeExited
	TypeStatsReply
)

// ErrMalformed is wrapped by every error about a message that does not follow the protocol.
var ErrMalformed = errors.New("malformed tender message")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Message is one of the structs of messages.go.
type Message interface {
	wireType() byte
	put(*encoder)
	get(*decoder)
}

// Encode appends the message to b.
func Encode(b []byte, m Message) []byte {
	e := encoder{b: append(b, m.wireType(), 0, Version, 0)}
	m.put(&e)
	return e.b
}

// Decode parses one whole message. The result owns its bytes.
func Decode(b []byte) (Message, error) {
	if len(b) < headerSize {
		return nil, malformed("%d bytes", len(b))
	}
	if b[2] != Version || b[3] != 0 {
		return nil, malformed("version %d, this side speaks %d", b[2], Version)
	}
	if b[1] != 0 {
		return nil, malformed("flags 0x%x", b[1])
	}
	m := newMessage(b[0])
	if m == nil {
		return nil, malformed("unknown type %d", b[0])
	}
	d := decoder{b: b[headerSize:]}
	m.get(&d)
	if d.err == nil && len(d.b) != 0 {
		d.err = malformed("type %d with %d bytes too many", b[0], len(d.b))
	}
	if d.err != nil {
		return nil, d.err
	}
	return m, nil
}

func newMessage(typ byte) Message {
	switch typ {
	case TypeLoad:
		return new(Load)
	case TypeStart:
		return new(Start)
	case TypeDial:
		return new(Dial)
	case TypeKill:
		return new(Kill)
	case TypeSignal:
		return new(Signal)
	case TypeStats:
		return new(Stats)
	case TypeStop:
		return new(Stop)
	case TypeLoaded:
		return new(Loaded)
	case TypeStarted:
		return new(Started)
	case TypeListening:
		return new(Listening)
	case TypeUnlistening:
		return new(Unlistening)
	case TypeOutput:
		return new(Output)
	case TypeExited:
		return new(Exited)
	case TypeStatsReply:
		return new(StatsReply)
	case TypeSpawn:
		return new(Spawn)
	case TypeEnded:
		return new(Ended)
	case TypeFileReply:
		return new(FileReply)
	case TypeFileRequest:
		return new(FileRequest)
	}
	if m := newSnapshot(typ); m != nil {
		return m
	}
	return newEgress(typ)
}
