// SPDX-License-Identifier: Apache-2.0

// Knative-hello is a service as Knative and Cloud Run have them: it serves HTTP on $PORT, says on a path of its own when it is ready, and ends in order
// at SIGTERM.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello %s from %s, revision %s\n", cmp.Or(os.Getenv("TARGET"), "World"), os.Getenv("K_SERVICE"), os.Getenv("K_REVISION"))
	})
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{Addr: ":" + os.Getenv("PORT"), Handler: mux}
	go func() {
		<-ctx.Done()
		log.Print("SIGTERM: what runs is finished")
		last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(last)
		log.Print("bye")
		os.Exit(0)
	}()
	log.Fatal(server.ListenAndServe())
}
