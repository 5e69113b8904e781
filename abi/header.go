// SPDX-License-Identifier: Apache-2.0

package abi

import _ "embed"

// Header is the text of unifaas_abi.h: for tests that compile guests.
//
//go:embed unifaas_abi.h
var Header string
