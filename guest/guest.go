// SPDX-License-Identifier: Apache-2.0

// Package guest holds the built library OS. `make libos` makes libos.elf from the C sources in the folders beside it.
package guest

import _ "embed"

//go:embed libos.elf
var libos []byte

// Libos returns the ELF file of the library OS. Callers must not change it.
func Libos() []byte { return libos }
