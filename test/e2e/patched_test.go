// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"unifaas.dev/guest"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender"
	"unifaas.dev/internal/testkit"
)

// TestPatched: nearly all system calls of C and Go servers come through patched sites. A site that is not patched works
// as well, only some hundred times slower, so no other test would see it.
func TestPatched(t *testing.T) {
	testkit.NeedKVM(t)
	for _, name := range []string{"c-hello", "go-hello"} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			img, size, m, err := image.FromELF(testkit.Built(t, "build/examples/"+name, "examples"))
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			tn, err := tender.Start(ctx, tender.StartOptions{Name: "test", Monitor: "kvm", Libos: guest.Libos(), Layers: []monitor.Layer{{File: img, Size: size}},
				Memory: 64 << 20, Boot: monitor.Boot{Program: m.Program, Args: m.Args, Env: append(m.Env, "PORT=8080"), Cwd: m.Cwd, MaxFiles: 256, OverlayMax: 1 << 20}})
			if err != nil {
				t.Fatal(err)
			}
			defer tn.Close()
			i, err := tn.Boot(ctx, "test", "test", nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := i.WaitListen(ctx, 8080); err != nil {
				t.Fatal(err)
			}
			for range 50 {
				c, err := i.Dial(ctx, 8080)
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(c, "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
				b, err := io.ReadAll(c)
				c.Close()
				if err != nil || len(b) < len("HTTP/1.1 200") || string(b[9:12]) != "200" {
					t.Fatalf("%q %v, want %d", b, err, http.StatusOK)
				}
			}
			s, err := i.Stats(ctx)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d of %d system calls trapped", s.Traps, s.Syscalls)
			if s.Syscalls < 200 || s.Traps*20 > s.Syscalls {
				t.Errorf("%d of %d system calls trapped, want few", s.Traps, s.Syscalls)
			}
		})
	}
}
