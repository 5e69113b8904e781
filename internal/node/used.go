// SPDX-License-Identifier: Apache-2.0

package node

// Used is what instances, shells, snapshots and parked instances take of memory as far as it was counted last, and the
// budget for that; 0 is none. Memory says it exactly, and asks everybody.
func (n *Node) Used() (used, budget int64) { return n.memory.Load(), max(n.opts.MemoryBudget, 0) }
