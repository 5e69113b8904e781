// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// ID names what fits: two keys have the same ID exactly if they are the same.
func (k Key) ID() string {
	h := sha256.Sum256(k.append(nil))
	return hex.EncodeToString(h[:])
}

// Differs names the first thing in which k is not what is wanted; "" if they are the same.
func (k Key) Differs(want Key) string {
	switch {
	case k.Libos != want.Libos:
		return "library OS"
	case k.ABI != want.ABI:
		return "ABI version"
	case k.Features != want.Features:
		return "CPU features"
	case k.Memory != want.Memory:
		return "memory"
	case len(k.Layers) != len(want.Layers):
		return "number of image layers"
	}
	for i := range k.Layers {
		if k.Layers[i] != want.Layers[i] {
			return fmt.Sprintf("image layer %d", i+1)
		}
	}
	if k.Program != want.Program {
		return "program"
	}
	return ""
}
