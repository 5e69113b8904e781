// SPDX-License-Identifier: Apache-2.0

// Command unifaas runs Linux programs as functions, each in a unikernel of its own. Here are verbs only: they read options
// and call the packages that do the work.
package main

import "os"

func main() {
	os.Exit(execute(newRootCmd(), os.Stderr))
}
