// SPDX-License-Identifier: Apache-2.0

// Command gort uses what Go's runtime needs from Linux: threads, futexes, preemption, timers, large reservations, signals for faults.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	channels()
	locks()
	preemption()
	collector()
	faults()
	timers()
	stacks(1)
	compute()
	bi, ok := debug.ReadBuildInfo()
	fmt.Println("build info:", ok && bi.GoVersion != "")
	fmt.Println("cpus:", runtime.NumCPU() >= 1, "procs:", runtime.GOMAXPROCS(0) >= 1)
	host, err := os.Hostname()
	fmt.Println("hostname:", host != "", err)
	fmt.Println("args:", len(os.Args))
}

func channels() {
	in, out := make(chan int), make(chan int)
	for range 50 {
		go func() {
			for v := range in {
				out <- v * v
			}
		}()
	}
	go func() {
		for i := range 5000 {
			in <- i
		}
		close(in)
	}()
	sum := 0
	for range 5000 {
		sum += <-out
	}
	fmt.Println("channels:", sum)
}

func locks() {
	var mu sync.RWMutex
	var wg sync.WaitGroup
	var n atomic.Int64
	m := map[int]int{}
	for g := range 100 {
		wg.Go(func() {
			for i := range 200 {
				mu.Lock()
				m[i] += g
				mu.Unlock()
				mu.RLock()
				_ = m[i]
				mu.RUnlock()
				n.Add(1)
			}
		})
	}
	wg.Wait()
	fmt.Println("locks:", n.Load(), m[7])
	var threads sync.WaitGroup
	for range 20 {
		threads.Go(func() {
			runtime.LockOSThread()
			time.Sleep(5 * time.Millisecond)
		})
	}
	threads.Wait()
	fmt.Println("locked threads: done")
}

func preemption() {
	old := runtime.GOMAXPROCS(1)
	var stop atomic.Bool
	go func() {
		for !stop.Load() {
		}
	}()
	x := 0
	done := make(chan int)
	go func() {
		for i := range 300_000_000 { // no call inside: only a signal can preempt it
			x += i & 3
		}
		done <- x
	}()
	time.Sleep(20 * time.Millisecond)
	fmt.Println("main runs beside spinners: yes")
	fmt.Println("spinner:", <-done)
	stop.Store(true)
	runtime.GOMAXPROCS(old)
}

func collector() {
	var keep [][]byte
	for i := range 3000 {
		b := make([]byte, 10_000+i)
		b[i] = byte(i)
		if i%100 == 0 {
			keep = append(keep, b)
		}
	}
	runtime.GC()
	bad := 0
	for i, b := range keep {
		if b[i*100] != byte(i*100) {
			bad++
		}
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	fmt.Println("collector:", len(keep), bad, ms.NumGC > 0)
	big := make([]byte, 64<<20)
	for i := 0; i < len(big); i += 4096 {
		big[i] = 1
	}
	big = nil
	debug.FreeOSMemory()
	fmt.Println("large slice given back: yes")
	ran := make(chan bool, 1)
	func() {
		p := new([100]int)
		runtime.AddCleanup(p, func(int) { ran <- true }, 0)
	}()
	runtime.GC()
	select {
	case <-ran:
		fmt.Println("cleanup: ran")
	case <-time.After(5 * time.Second):
		fmt.Println("cleanup: did not run")
	}
	_ = big
}

type node struct{ next *node }

func faults() {
	try := func(name string, fn func()) {
		defer func() {
			r := recover()
			var re runtime.Error
			err, _ := r.(error)
			fmt.Printf("%s: %v runtime error %v\n", name, r, errors.As(err, &re))
		}()
		fn()
	}
	var n *node
	zero := 0
	var a []int
	try("nil", func() { n.next = nil })
	try("divide", func() { fmt.Println(1 / zero) })
	try("index", func() { fmt.Println(a[5]) })
	debug.SetPanicOnFault(true)
	try("goexit", func() {
		done := make(chan bool)
		go func() { defer close(done); runtime.Goexit() }()
		<-done
	})
}

func timers() {
	t0 := time.Now()
	time.Sleep(20 * time.Millisecond)
	d := time.Since(t0)
	fmt.Println("sleep:", d >= 20*time.Millisecond && d < 2*time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	n := 0
	for range tick.C {
		if n++; n == 5 {
			break
		}
	}
	tick.Stop()
	fmt.Println("ticks:", n)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	fmt.Println("context:", ctx.Err())
	var order []int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, ms := range []int{60, 20, 40} {
		wg.Add(1)
		time.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
			mu.Lock()
			order = append(order, ms)
			mu.Unlock()
			wg.Done()
		})
	}
	wg.Wait()
	fmt.Println("order:", order)
	fmt.Println("year:", time.Now().Year() >= 2024)
}

func stacks(x int) {
	var grow func(n int) int
	grow = func(n int) int {
		var pad [100]int
		if n == 0 {
			return 0
		}
		pad[n%100] = n
		return grow(n-1) + pad[n%100] - n + 1
	}
	fmt.Println("deep recursion:", grow(20000))
}

func compute() {
	words := strings.Fields(strings.Repeat("the quick brown fox jumps over the lazy dog ", 500))
	sort.Strings(words)
	fmt.Printf("compute: %s %x\n", words[0], sha256.Sum256([]byte(strings.Join(words, " "))))
	f := 0.0
	for i := 1; i < 100000; i++ {
		f += 1 / float64(i) / float64(i)
	}
	fmt.Printf("floats: %.12f\n", f)
}
