// SPDX-License-Identifier: Apache-2.0

package server

import (
	"unifaas.dev/abi"
	"unifaas.dev/internal/calltrace"
	"unifaas.dev/internal/tender/wire"
)

// drain takes what the guest has put into its ring. A running guest can go on putting: one call takes no more than a ring
// holds. An error means that the guest lies. Preconditions: in.mu is held.
func (in *instance) drain() (moved bool, err error) {
	for budget := abi.TxSize; budget > 0; {
		m, payload, ok, err := in.link.tx.Next(in.link.buf[:])
		if err != nil {
			return moved, err
		}
		if !ok {
			break
		}
		moved = true
		in.link.bufUsed = max(in.link.bufUsed, len(payload))
		budget -= int(abi.MsgSize) + len(payload)
		if in.rewinds > 0 && (m.Conn >= abi.ConnFirst || m.Type != abi.MsgData && m.Type != abi.MsgTrace) {
			continue // of before: only what it has printed counts
		}
		if m.Type == abi.MsgFile {
			err = in.files.request(m.Conn, m.Arg, payload)
		} else if m.Conn < abi.ConnFirst {
			err = in.consoleMessage(m.Type, m.Conn, m.Arg, payload)
		} else {
			err = in.streamMessage(m.Type, m.Conn, m.Arg, payload)
		}
		if err != nil {
			return moved, err
		}
	}
	if moved && in.table.forget {
		in.link.scrub()
	}
	return moved, nil
}

// consoleMessage handles messages of the console and those that belong to no stream.
func (in *instance) consoleMessage(typ uint16, conn, arg uint32, payload []byte) error {
	switch typ {
	case abi.MsgListen, abi.MsgUnlisten:
		return in.listen(typ == abi.MsgListen, arg)
	case abi.MsgFree:
		return in.free(payload)
	}
	if conn > abi.ConnStderr {
		return violated("message of type %d for stream %d, which never was", typ, conn)
	}
	switch typ {
	case abi.MsgData:
		return in.console.data(conn, payload, uint32(len(payload)))
	case abi.MsgTrace:
		return in.console.data(conn, calltrace.Line(arg, payload), abi.TraceCredit)
	case abi.MsgTerminal:
		return in.console.setTerminal(payload)
	case abi.MsgCredit:
		return in.console.grant(conn, arg)
	case abi.MsgReset, abi.MsgEOF:
		// The program closed its end. Output that is on its way still goes out.
		in.console.closed |= 1 << conn
		if conn == abi.ConnStdin {
			in.console.closeIn()
		}
		return nil
	}
	return violated("message of type %d on console stream %d", typ, conn)
}

func (in *instance) streamMessage(typ uint16, conn, arg uint32, payload []byte) error {
	if typ == abi.MsgListen || typ == abi.MsgUnlisten {
		return in.listen(typ == abi.MsgListen, arg)
	}
	if typ == abi.MsgConnect {
		return in.table.connect(conn, arg, payload)
	}
	s, err := in.table.lookup(conn)
	if err != nil || s == nil {
		return err
	}
	if s == in.table.ahead {
		return in.table.aheadMessage(typ)
	}
	if s.out != nil && (!s.out.open && typ != abi.MsgReset || s.out.udp && typ == abi.MsgEOF) {
		return violated("message of type %d on outbound stream %d", typ, conn)
	}
	switch typ {
	case abi.MsgData:
		return in.table.data(s, payload)
	case abi.MsgCredit:
		return in.table.grant(s, arg)
	case abi.MsgEOF:
		return in.table.eof(s)
	case abi.MsgReset:
		if s.job != nil && !s.job.over {
			in.jobRefused(s.job.token)
		}
		return in.table.guestReset(s)
	case abi.MsgAccepted:
		return nil
	case abi.MsgEnded:
		return in.jobEnded(s, arg)
	}
	return violated("message of type %d on stream %d", typ, conn)
}

// listen follows the program's listening sockets and tells the node.
func (in *instance) listen(on bool, arg uint32) error {
	if arg > 0xffff || arg == spawnPort && !in.spawns {
		return violated("listens on port %d", arg)
	}
	port := uint16(arg)
	if on == in.table.listening[port] {
		return nil
	}
	var event wire.Message = &wire.Unlistening{Instance: in.id, Port: port}
	if on {
		in.readStamps()
		// Low addresses are handed out first, behind the library OS's own blocks.
		in.host.shells.used(int64(in.link.area.Load64(abi.CtlRAMUsed)) + abi.TablesEnd)
		in.host.shells.refill(shellDelay)
		event = &wire.Listening{Instance: in.id, Port: port, Stamps: in.stamps.Stamps}
	}
	if !in.host.out.offer(event, maxPortsQueued) {
		return violated("opens and closes listening sockets faster than anyone can follow")
	}
	if on {
		if p := in.host.states.port; p == 0 || p == port {
			in.captureListens()
		}
		return in.table.listen(port)
	}
	in.table.unlisten(port)
	return nil
}
