// SPDX-License-Identifier: Apache-2.0

// Package python carries the Python module for authors of functions, for images that have it.
package python

import _ "embed"

//go:embed unifaas.py
var module []byte

// Module is unifaas.py.
func Module() []byte { return module }
