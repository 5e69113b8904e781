// SPDX-License-Identifier: Apache-2.0

// Command goend ends in the way that its argument says.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
)

type list struct{ next *list }

func main() {
	fmt.Println(os.Args[1:])
	switch os.Args[1] {
	case "panic":
		panic("on purpose")
	case "nil":
		var l *list
		fmt.Println(l.next)
	case "deadlock":
		var mu sync.Mutex
		mu.Lock()
		mu.Lock()
	case "overflow":
		debug.SetMaxStack(16 << 20) // well inside the guest's memory
		var f func(int) int
		f = func(i int) int { return f(i+1) + 1 }
		f(0)
	case "exit":
		os.Exit(42)
	}
}
