// SPDX-License-Identifier: Apache-2.0

// Program is a container's service that tries what the container contract promises.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		log.Print("SIGTERM came")
		time.Sleep(300 * time.Millisecond)
		log.Print("all is put away")
		os.Exit(0)
	}()
	if os.Getenv("FAIL") != "" {
		log.Fatal("no, thanks")
	}
	input, err := io.ReadAll(os.Stdin)
	stdin := fmt.Sprintf("%d bytes, %v", len(input), err)

	var ready atomic.Bool
	if pause, err := time.ParseDuration(os.Getenv("READY_AFTER")); err == nil {
		time.AfterFunc(pause, func() { ready.Store(true) })
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/live", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/about", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"stdin": stdin, "port": os.Getenv("PORT"), "service": os.Getenv("K_SERVICE"), "revision": os.Getenv("K_REVISION"),
			"configuration": os.Getenv("K_CONFIGURATION"), "ready": ready.Load(), "proto": r.Proto, "host": r.Host, "forwarded": r.Header.Get("Forwarded"), "version": os.Getenv("VERSION")})
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		time.Sleep(100 * time.Millisecond)
		io.WriteString(w, os.Getenv("VERSION"))
	})
	mux.HandleFunc("/event", func(w http.ResponseWriter, r *http.Request) {
		e, err := cehttp.NewEventFromHTTPRequest(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.SetSource("function/" + os.Getenv("K_SERVICE"))
		e.SetType(e.Type() + ".seen")
		cehttp.WriteResponseWriter(context.Background(), binding.ToMessage(e), http.StatusOK, w)
	})
	mux.HandleFunc("/batch", func(w http.ResponseWriter, r *http.Request) {
		list, err := cehttp.NewEventsFromHTTPRequest(r)
		fmt.Fprint(w, len(list), err)
	})
	mux.HandleFunc("/socket", socket)
	rpc := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(rpc, health.NewServer())
	both := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			rpc.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
	server := &http.Server{Addr: ":" + os.Getenv("PORT"), Handler: both, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	log.Fatal(server.ListenAndServe())
}

// socket switches to a protocol in which each line comes back in capitals.
func socket(w http.ResponseWriter, _ *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
	rw.Flush()
	for {
		line, err := rw.ReadString('\n')
		if err != nil {
			return
		}
		rw.WriteString(strings.ToUpper(line))
		rw.Flush()
	}
}
