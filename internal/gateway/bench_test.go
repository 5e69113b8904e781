// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/node"
)

// answerer is a program that costs next to nothing: it answers whatever comes, without allocations.
func answerer(c net.Conn) bool {
	go func() {
		defer c.Close()
		buf := make([]byte, 4096)
		answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n")
		for {
			n, err := c.Read(buf)
			if err != nil || n == 0 {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}()
	return false
}

// BenchmarkGateway is what a warm request costs the gateway and the node, with the server of HTTP below them: allocations are theirs alone, as
// caller and program make none.
func BenchmarkGateway(b *testing.B) {
	for _, kind := range []string{"get", "post"} {
		b.Run(kind, func(b *testing.B) {
			g := start(b, func(http.ResponseWriter, *http.Request) {}, node.Options{})
			g.run.OnAccept = answerer
			g.deploy("f", api.DeployRequest{})
			conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			request := []byte("GET /function/f HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
			if kind == "post" {
				request = []byte("POST /function/f HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"name\": \"value\"}")
			}
			in := bufio.NewReader(conn)
			call := func() error {
				if _, err := conn.Write(request); err != nil {
					return err
				}
				line, err := in.ReadSlice('\n')
				if err != nil || !strings.HasPrefix(string(line), "HTTP/1.1 200") {
					return fmt.Errorf("%q %v", line, err)
				}
				for len(line) > 2 {
					if line, err = in.ReadSlice('\n'); err != nil {
						return err
					}
				}
				_, err = in.Discard(6)
				return err
			}
			if err := call(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
