// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
)

// snapshotEnv is what tells a node how to make a function's snapshot: auto, manual or off.
const snapshotEnv = "UNIFAAS_SNAPSHOT"

// empty takes away all instances of a function.
func (h *host) empty(ctx context.Context, function string) error {
	return h.explain(h.Empty(ctx, function))
}

// noTender takes away all instances of a function, and the process that would run the next one.
func (h *host) noTender(ctx context.Context, function string) error {
	return unable("the node cannot be told to end a tender")
}

// snapshot sees to it that there is a snapshot of a function.
func (h *host) snapshot(ctx context.Context, function string) error {
	return unable("snapshots are not in this version")
}

// fromSnapshot lets only such starts count as were made from a snapshot.
func (l *lane) fromSnapshot() *lane { return l }
