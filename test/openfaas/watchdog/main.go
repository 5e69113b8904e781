// SPDX-License-Identifier: Apache-2.0

// Watchdog does in images of tests what of-watchdog does in those of users, as far as its documentation says: modes http, streaming and
// serializing, /_/health, /_/ready, the lock file, max_inflight, exec_timeout.
package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const lock = "/tmp/.lock"

type watchdog struct {
	process  []string
	limit    time.Duration // exec_timeout; 0: none
	inflight atomic.Int64
	most     int64 // 0: any number
}

func main() {
	log.SetFlags(0)
	w := &watchdog{process: strings.Fields(os.Getenv("fprocess"))}
	if len(w.process) == 0 {
		log.Fatal("fprocess is not set")
	}
	w.limit, _ = time.ParseDuration(os.Getenv("exec_timeout"))
	w.most, _ = strconv.ParseInt(os.Getenv("max_inflight"), 10, 64)
	var serve http.Handler
	switch mode := os.Getenv("mode"); mode {
	case "http":
		serve = w.proxy()
	case "", "streaming":
		serve = http.HandlerFunc(w.streaming)
	case "serializing":
		serve = http.HandlerFunc(w.serializing)
	default:
		log.Fatalf("mode %q", mode)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/_/health", func(rw http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(lock); err != nil {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/_/ready", func(rw http.ResponseWriter, _ *http.Request) {
		if w.full() {
			rw.WriteHeader(http.StatusTooManyRequests)
		}
	})
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		if w.inflight.Add(1); w.most > 0 && w.inflight.Load() > w.most {
			w.inflight.Add(-1)
			rw.WriteHeader(http.StatusTooManyRequests)
			return
		}
		defer w.inflight.Add(-1)
		serve.ServeHTTP(rw, r)
	})
	port := os.Getenv("port")
	if port == "" {
		port = "8080"
	}
	if err := os.WriteFile(lock, nil, 0o660); err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Addr: ":" + port, Handler: mux}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	go func() {
		<-stop.Done()
		os.Remove(lock)
		srv.Shutdown(context.Background())
	}()
	log.Printf("mode %q, fprocess %q", os.Getenv("mode"), w.process)
	if err := srv.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}

func (w *watchdog) full() bool { return w.most > 0 && w.inflight.Load() >= w.most }

// proxy keeps the process and passes requests on to it.
func (w *watchdog) proxy() http.Handler {
	to, err := url.Parse(os.Getenv("upstream_url"))
	if err != nil || to.Host == "" {
		log.Fatalf("upstream_url %q", os.Getenv("upstream_url"))
	}
	c := exec.Command(w.process[0], w.process[1:]...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Start(); err != nil {
		log.Fatal(err)
	}
	go func() {
		log.Fatalf("%s ended: %v", w.process[0], c.Wait())
	}()
	return httputil.NewSingleHostReverseProxy(to)
}

func (w *watchdog) command(r *http.Request) (*exec.Cmd, context.CancelFunc) {
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	if w.limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, w.limit)
	}
	c := exec.CommandContext(ctx, w.process[0], w.process[1:]...)
	c.Stdin, c.Stderr = r.Body, os.Stderr
	c.Env = append(os.Environ(), "Http_Method="+r.Method, "Http_Path="+r.URL.Path)
	return c, cancel
}

// streaming runs the process for a request: what it prints is passed on as it comes.
func (w *watchdog) streaming(rw http.ResponseWriter, r *http.Request) {
	c, cancel := w.command(r)
	defer cancel()
	c.Stdout = rw
	if err := c.Run(); err != nil {
		log.Print(err)
	}
}

// serializing runs the process for a request: what it has printed is the answer if it ended well.
func (w *watchdog) serializing(rw http.ResponseWriter, r *http.Request) {
	c, cancel := w.command(r)
	defer cancel()
	var out bytes.Buffer
	c.Stdout = &out
	if err := c.Run(); err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	io.Copy(rw, &out)
}
