// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/tender"
	"unifaas.dev/internal/testkit"
)

// startKVM starts a tender whose guests are real: an HTTP server on port 8080.
func startKVM(t testing.TB, program string, change ...func(*tender.StartOptions)) *tender.Tender {
	t.Helper()
	testkit.NeedKVM(t)
	libos, err := os.ReadFile(testkit.Built(t, "guest/libos.elf", "libos"))
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(program) {
		program = testkit.Built(t, "build/examples/"+program, "examples")
	}
	f, size, m, err := image.FromELF(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := tender.StartOptions{Exe: self, Monitor: "kvm", Libos: libos, Layers: []monitor.Layer{{File: f, Size: size}}, Memory: 64 << 20,
		Boot: monitor.Boot{Program: m.Program, Args: m.Args, Env: append(m.Env, "PORT=8080"), Cwd: "/", MaxFiles: 1024, OverlayMax: 16 << 20}}
	for _, f := range change {
		f(&o)
	}
	tn, err := tender.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tn.Close() })
	return tn
}

// compile builds a program of testdata.
func compile(t *testing.T, name string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	gcc := testkit.NeedTool(t, "gcc")
	if out, err := exec.Command(gcc, "-O1", "-static", "-pthread", "-o", program, "testdata/"+name+".c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func client(i *tender.Instance) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 100,
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return i.Dial(ctx, 8080) },
	}}
}

func get(c *http.Client) error {
	r, err := c.Get("http://function/")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && (r.StatusCode != 200 || len(b) == 0) {
		err = fmt.Errorf("%s, %q", r.Status, b)
	}
	return err
}

func TestKVMRequests(t *testing.T) {
	for _, program := range []string{"c-hello", "go-hello"} {
		t.Run(program, func(t *testing.T) {
			tn := startKVM(t, program)
			i := boot(t, tn)
			c := client(i)
			if err := get(c); err != nil { // dialled before it listens
				t.Fatal(err)
			}
			timing, err := i.WaitListen(t.Context(), 8080)
			if err != nil || timing.Total <= 0 || timing.Boot <= 0 {
				t.Errorf("%+v, %v", timing, err)
			}
			t.Logf("spawn %v, %+v", tn.SpawnTime(), timing)
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					for range 50 {
						if err := get(c); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			s, err := i.Stats(t.Context())
			t.Logf("%+v, %v", s, err)
			i.Kill("done")
			if e := exit(t, i); e.Kind != tender.Killed {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// TestKVMStreams moves much through many streams of a real guest.
func TestKVMStreams(t *testing.T) {
	i := boot(t, startKVM(t, compile(t, "echo")))
	for _, n := range []int{0, 1, 65536, 65537, 8 << 20} {
		c, err := i.Dial(t.Context(), 8080)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := echo(c, random(n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		t.Logf("%d bytes there and back in %v", n, time.Since(begin))
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			c, err := i.Dial(t.Context(), 8080)
			if err == nil {
				err = echo(c, random(200<<10))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s, err := i.Stats(t.Context())
	t.Logf("%+v, %v", s, err)
	if s.Streams != 0 {
		t.Errorf("%d streams are left", s.Streams)
	}
}

// TestKVMKill stops a guest that loops, while others of its tender answer.
func TestKVMKill(t *testing.T) {
	looping := make(chan tender.Output, 100)
	tn := startKVM(t, compile(t, "loop"), func(o *tender.StartOptions) { o.OnOutput = func(l tender.Output) { looping <- l } })
	i := boot(t, tn)
	if l := <-looping; l.Line != "looping" || l.Stream != 1 {
		t.Errorf("got %+v", l)
	}
	begin := time.Now()
	i.Kill("timeout")
	e := exit(t, i)
	t.Logf("ended after %v: %+v", time.Since(begin), e)
	if e.Kind != tender.Killed || e.Reason != "timeout" || time.Since(begin) > time.Second {
		t.Errorf("got %+v", e)
	}
	j := boot(t, tn)
	<-looping
	if err := syscall.Kill(tn.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := exit(t, j); e.Kind != tender.TenderDied {
		t.Errorf("got %+v", e)
	}
}

// TestKVMInstances has several instances in one tender.
func TestKVMInstances(t *testing.T) {
	tn := startKVM(t, "c-hello")
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			i, err := tn.Boot(t.Context(), fmt.Sprint(n), "h", nil)
			if err != nil {
				t.Error(err)
				return
			}
			c := client(i)
			for range 20 {
				if err := get(c); err != nil {
					t.Error(err)
				}
			}
			i.Kill("done")
			if e := i.Exit(); e.Kind != tender.Killed || e.Instance != fmt.Sprint(n) {
				t.Errorf("got %+v", e)
			}
		})
	}
	wg.Wait()
}

func BenchmarkKVMBoot(b *testing.B) {
	tn := startKVM(b, "c-hello")
	for b.Loop() {
		i, err := tn.Boot(b.Context(), "i", "h", nil)
		if err != nil {
			b.Fatal(err)
		}
		c, err := i.Dial(b.Context(), 8080)
		if err != nil {
			b.Fatal(err)
		}
		if err := exchange(c, bufio.NewReader(c)); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		c.Close()
		i.Kill("done")
		<-i.Done()
		b.StartTimer()
	}
}

func exchange(c net.Conn, r *bufio.Reader) error {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// BenchmarkKVMWarm is one request on a stream that is open.
func BenchmarkKVMWarm(b *testing.B) {
	for _, program := range []string{"c-hello", "go-hello"} {
		b.Run(program, func(b *testing.B) {
			tn := startKVM(b, program)
			i, err := tn.Boot(b.Context(), "i", "h", nil)
			if err != nil {
				b.Fatal(err)
			}
			c, err := i.Dial(b.Context(), 8080)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			r := bufio.NewReader(c)
			if err := exchange(c, r); err != nil {
				b.Fatal(err)
			}
			before, _ := i.Stats(b.Context())
			for b.Loop() {
				if err := exchange(c, r); err != nil {
					b.Fatal(err)
				}
			}
			s, _ := i.Stats(b.Context())
			n := float64(b.N)
			b.ReportMetric(float64(s.Exits-before.Exits)/n, "exits/op")
			b.ReportMetric(float64(s.Ticks-before.Ticks)/n, "ticks/op")
			b.ReportMetric(float64(s.Preempts-before.Preempts)/n, "preempts/op")
			b.ReportMetric(float64(s.Syscalls-before.Syscalls)/n, "syscalls/op")
		})
	}
}
