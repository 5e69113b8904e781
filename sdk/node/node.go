// SPDX-License-Identifier: Apache-2.0

// Package node carries the Node.js module for authors of functions, for images that have it.
package node

import _ "embed"

//go:embed unifaas.js
var module []byte

// Module is unifaas.js.
func Module() []byte { return module }
