// SPDX-License-Identifier: Apache-2.0

// Command gonet serves and calls itself over loopback TCP, HTTP and Unix sockets.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	tcp()
	unix()
	web()
}

func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}

func roundTrip(network, addr string, size int) (int, error) {
	c, err := net.Dial(network, addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	go func() {
		c.Write(data)
		c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err == nil && !bytes.Equal(got, data) {
		err = errors.New("other bytes came back")
	}
	return len(got), err
}

func tcp() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fmt.Println("listen:", err)
	go echo(l)
	for _, n := range []int{16, 4096, 1 << 20} {
		got, err := roundTrip("tcp", l.Addr().String(), n)
		fmt.Println("echo:", got, err)
	}
	var wg sync.WaitGroup
	var ok atomic.Int32
	for range 40 {
		wg.Go(func() {
			if n, err := roundTrip("tcp", l.Addr().String(), 64<<10); err == nil && n == 64<<10 {
				ok.Add(1)
			}
		})
	}
	wg.Wait()
	fmt.Println("40 at once:", ok.Load())
	c, _ := net.Dial("tcp", l.Addr().String())
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err = c.Read(make([]byte, 1))
	var ne net.Error
	fmt.Println("deadline:", errors.As(err, &ne) && ne.Timeout())
	c.Close()
	addr := l.Addr().String()
	l.Close()
	_, err = net.Dial("tcp", addr)
	fmt.Println("closed:", err != nil && strings.Contains(err.Error(), "connection refused"))
}

func unix() {
	dir, _ := os.MkdirTemp("", "abi-")
	defer os.RemoveAll(dir)
	p := filepath.Join(dir, "s")
	l, err := net.Listen("unix", p)
	fmt.Println("listen unix:", err)
	go echo(l)
	n, err := roundTrip("unix", p, 100<<10)
	fmt.Println("echo unix:", n, err)
	l.Close()
	_, err = os.Stat(p)
	fmt.Println("socket removed:", os.IsNotExist(err))
}

func web() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %d", r.Header.Get("X-Test"), len(b))
	})
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "part %d\n", i)
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	})
	l, err := net.Listen("tcp", "localhost:0")
	fmt.Println("listen http:", err)
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	base := "http://" + l.Addr().String()
	var wg sync.WaitGroup
	var ok atomic.Int32
	for range 20 {
		wg.Go(func() {
			for range 10 {
				req, _ := http.NewRequest("POST", base+"/echo", strings.NewReader(strings.Repeat("x", 50_000)))
				req.Header.Set("X-Test", "yes")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					return
				}
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(b) == "yes 50000" {
					ok.Add(1)
				}
			}
		})
	}
	wg.Wait()
	fmt.Println("http calls:", ok.Load())
	resp, err := http.Get(base + "/slow")
	if err == nil {
		b, _ := io.ReadAll(resp.Body)
		fmt.Printf("chunks: %q\n", b)
	}
	resp, err = http.Get(base + "/none")
	if err == nil {
		fmt.Println("status:", resp.StatusCode)
	}
	fmt.Println("close:", srv.Close())
}
