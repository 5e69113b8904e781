// SPDX-License-Identifier: Apache-2.0

package wire

// TypeEnded is an event, see Ended.
const TypeEnded = 80

// Spawn starts the program once more for one request, in an instance whose Boot has abi.BootSpawn. Its descriptor, one end of a
// SOCK_STREAM pair, is the program's standard input and output; closing the other end ends the program.
type Spawn struct {
	Instance uint32
	Token    uint32   // that Ended repeats
	Env      []string // K=V, beside and instead of the instance's
}

// Ended says how a program that Spawn started ended. What it wrote is in the socket.
type Ended struct {
	Instance uint32
	Token    uint32
	Status   uint32 // wait status
}

func (*Spawn) wireType() byte { return TypeSpawn }
func (*Ended) wireType() byte { return TypeEnded }

func (m *Spawn) put(e *encoder) { e.u32(m.Instance); e.u32(m.Token); e.list(m.Env) }
func (m *Spawn) get(d *decoder) { m.Instance = d.u32(); m.Token = d.u32(); m.Env = d.list() }

func (m *Ended) put(e *encoder) { e.u32(m.Instance); e.u32(m.Token); e.u32(m.Status) }
func (m *Ended) get(d *decoder) { m.Instance = d.u32(); m.Token = d.u32(); m.Status = d.u32() }
