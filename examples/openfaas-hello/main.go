// SPDX-License-Identifier: Apache-2.0

// Openfaas-hello is a function as OpenFaaS's templates make them: a program that serves HTTP on port 8082 for the watchdog of its image. With an
// argument it is one that a watchdog runs for each request: what it reads comes out in capitals.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	if len(os.Args) > 1 {
		if err := capitals(os.Stdout, os.Stdin); err != nil {
			log.Fatal(err)
		}
		return
	}
	http.HandleFunc("/", hello)
	log.Print("listening on 127.0.0.1:8082")
	log.Fatal(http.ListenAndServe("127.0.0.1:8082", nil))
}

// hello greets who is named in the body, as the secret says.
func hello(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	greeting, err := os.ReadFile("/var/openfaas/secrets/greeting")
	if err != nil {
		greeting = []byte("Hello")
	}
	fmt.Fprintf(w, "%s, %s%s\n", bytes.TrimSpace(greeting), cmp.Or(strings.TrimSpace(string(body)), "world"), os.Getenv("mark"))
}

func capitals(out io.Writer, in io.Reader) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(text, []byte("fail")) {
		return fmt.Errorf("it says so: %s", text)
	}
	_, err = out.Write(bytes.ToUpper(text))
	return err
}
