// SPDX-License-Identifier: Apache-2.0

package tendertest

import (
	"fmt"

	"unifaas.dev/abi"
)

// Echo listens on a port and sends back what every stream brings, within the credit it has.
func Echo(port uint32) Program {
	return func(g *Guest) uint32 {
		type conn struct {
			out    []byte
			credit uint32
			taken  uint32
			eof    bool
		}
		conns := map[uint32]*conn{}
		g.Send(abi.MsgListen, 0, port, nil)
		for {
			m := g.Next()
			c := conns[m.Conn]
			switch m.Type {
			case abi.MsgOpen:
				c = &conn{credit: abi.ConnWindow}
				conns[m.Conn] = c
				g.Send(abi.MsgAccepted, m.Conn, 0, nil)
			case abi.MsgData:
				if c == nil {
					continue
				}
				c.out = append(c.out, m.Data...)
			case abi.MsgEOF:
				if c == nil {
					continue // stdin
				}
				c.eof = true
			case abi.MsgCredit:
				if c == nil {
					continue
				}
				c.credit += m.Arg
			case abi.MsgReset:
				delete(conns, m.Conn)
				continue
			case abi.MsgSignal:
				return m.Arg
			}
			for c != nil && len(c.out) > 0 && c.credit > 0 {
				n := min(len(c.out), int(c.credit), 16<<10)
				g.Send(abi.MsgData, m.Conn, 0, c.out[:n])
				c.out = c.out[n:]
				c.credit -= uint32(n)
				c.taken += uint32(n)
				if c.taken >= abi.ConnWindow/2 {
					g.Send(abi.MsgCredit, m.Conn, c.taken, nil)
					c.taken = 0
				}
			}
			if c != nil && c.eof && len(c.out) == 0 {
				g.Send(abi.MsgEOF, m.Conn, 0, nil)
				delete(conns, m.Conn)
			}
		}
	}
}

// Print writes n lines on stdout and one on stderr, within its credit, and exits with status 3.
func Print(n int) Program {
	return func(g *Guest) uint32 {
		credit := uint32(abi.ConnWindow)
		for i := range n {
			line := fmt.Appendf(nil, "line %d\n", i)
			for credit < uint32(len(line)) {
				if m := g.Next(); m.Type == abi.MsgCredit && m.Conn == abi.ConnStdout {
					credit += m.Arg
				}
			}
			credit -= uint32(len(line))
			g.Send(abi.MsgData, abi.ConnStdout, 0, line)
		}
		g.Send(abi.MsgData, abi.ConnStderr, 0, []byte("done"))
		return 3 << 8
	}
}

// Cat copies stdin to stdout and exits with status 0, or by SIGPIPE when nobody reads.
func Cat(g *Guest) uint32 {
	credit, taken := uint32(abi.ConnWindow), uint32(0)
	var out []byte
	for eof := false; !eof || len(out) > 0; {
		switch m := g.Next(); {
		case m.Type == abi.MsgCredit && m.Conn == abi.ConnStdout:
			credit += m.Arg
		case m.Type == abi.MsgReset && m.Conn == abi.ConnStdout:
			return 13
		case m.Type == abi.MsgEOF && m.Conn == abi.ConnStdin:
			eof = true
		case m.Type == abi.MsgData && m.Conn == abi.ConnStdin:
			out = append(out, m.Data...)
		}
		n := min(len(out), int(credit), abi.MsgMax)
		if n == 0 {
			continue
		}
		g.Send(abi.MsgData, abi.ConnStdout, 0, out[:n])
		credit -= uint32(n)
		taken += uint32(n)
		out = out[n:]
		if taken >= abi.ConnWindow/2 {
			g.Send(abi.MsgCredit, abi.ConnStdin, taken, nil)
			taken = 0
		}
	}
	return 0
}

// Loop never leaves the guest.
func Loop(g *Guest) uint32 {
	for {
		g.Spin()
	}
}
