// SPDX-License-Identifier: Apache-2.0

package control

// MemoryUsed is what instances and all that belongs to them take, as it was counted last, and the budget for it; 0 is none.
func (c *Control) MemoryUsed() (used, budget int64) { return c.node.Used() }
