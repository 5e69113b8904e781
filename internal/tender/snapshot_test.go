// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/tender"
)

// taken is what OnTaken said.
type taken struct {
	info snapshot.Info
	err  error
}

// memfile is an empty memory file that can be sealed.
func memfile(t testing.TB) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memory file")
	t.Cleanup(func() { f.Close() })
	return f
}

func testKey() snapshot.Key {
	return snapshot.Key{ABI: abi.Version, Memory: 64 << 20, Program: [32]byte{1}}
}

// captured starts a tender whose first instance becomes its snapshot, and gives the file of that too.
func captured(t testing.TB, program string, change ...func(*tender.StartOptions)) (*tender.Tender, *tender.Instance, *os.File) {
	t.Helper()
	sink := memfile(t)
	done := make(chan taken, 1)
	tn := startKVM(t, program, append(change, func(o *tender.StartOptions) {
		o.Snapshots.Key, o.Snapshots.Sink = testKey(), sink
		o.Snapshots.OnTaken = func(i snapshot.Info, err error) { done <- taken{i, err} }
	})...)
	first, err := tn.Boot(context.Background(), "first", "first", nil)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-done:
		if got.err != nil {
			t.Fatal(got.err)
		}
		t.Logf("snapshot: %+v", got.info)
	case <-time.After(20 * time.Second):
		t.Fatal("no snapshot is taken")
	}
	return tn, first, sink
}

// clone makes an instance of the snapshot.
func clone(t testing.TB, tn *tender.Tender, id string) *tender.Instance {
	t.Helper()
	i, err := tn.BootWith(context.Background(), tender.BootOptions{ID: id, Hostname: "host-" + id, From: tender.FromSnapshot})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// query says one line to the server in an instance and gives its answer.
func query(i *tender.Instance, line string) (string, error) {
	c, err := i.Dial(context.Background(), 8080)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return tell(c, line)
}

func tell(c net.Conn, line string) (string, error) {
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", err
	}
	got, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(got), err
}

// answers checks an answer.
func answers(t testing.TB, i *tender.Instance, line, want string) {
	t.Helper()
	if got, err := query(i, line); err != nil || got != want {
		t.Errorf("%s, %s: got %q, %v, expected %q", i.ID(), line, got, err, want)
	}
}

// rewound rewinds and waits.
func rewound(t testing.TB, i *tender.Instance) tender.Rewound {
	t.Helper()
	done := make(chan tender.Rewound, 1)
	i.Rewind(func(r tender.Rewound, err error) {
		if err != nil {
			t.Error(err)
		}
		done <- r
	})
	select {
	case r := <-done:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("the rewind does not end")
		panic("not reached")
	}
}

// parked parks an instance, which may take a few attempts while it comes to rest.
func parked(t testing.TB, i *tender.Instance) (*os.File, int64) {
	t.Helper()
	f := memfile(t)
	for end := time.Now().Add(20 * time.Second); ; {
		n, err := i.Park(context.Background(), f)
		if err == nil {
			return f, n
		}
		if !errors.Is(err, tender.ErrBusy) || time.Now().After(end) {
			t.Fatal(err)
		}
		f.Truncate(0)
	}
}

func woken(t testing.TB, tn *tender.Tender, id string, f *os.File, n int64) *tender.Instance {
	t.Helper()
	i, err := tn.BootWith(context.Background(), tender.BootOptions{ID: id, Hostname: "host-" + id, From: tender.FromParked, Parked: f, Len: n})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestSnapshot(t *testing.T) {
	tn, first, sink := captured(t, compile(t, "state"))
	answers(t, first, "count", "1") // it goes on
	seen := map[string]bool{}
	random := func(i *tender.Instance) {
		got, err := query(i, "random")
		if err != nil || len(got) != 32 || seen[got] {
			t.Errorf("%s: random bytes %q, %v", i.ID(), got, err)
		}
		seen[got] = true
	}
	random(first)
	for n := range 5 {
		i := clone(t, tn, fmt.Sprint(n))
		timing, err := i.WaitListen(t.Context(), 8080)
		if err != nil {
			t.Fatal(err)
		}
		answers(t, i, "count", "1")
		answers(t, i, "count", "2")
		answers(t, i, "host", fmt.Sprintf("host-%d", n))
		random(i)
		if timing, _ = i.WaitListen(t.Context(), 8080); timing.State <= 0 {
			t.Errorf("%+v", timing)
		}
		i.Kill("done")
		if e := exit(t, i); e.Kind != tender.Killed {
			t.Errorf("%+v", e)
		}
	}
	tn.Close()

	// Another tender, from the file.
	if _, _, err := snapshot.Check(sink); err != nil {
		t.Fatal(err)
	}
	tn = startKVM(t, compile(t, "state"), func(o *tender.StartOptions) {
		o.Snapshots.Key, o.Snapshots.Image = testKey(), sink
		o.Snapshots.OnRefused = func(err error) { t.Error(err) }
	})
	i := clone(t, tn, "other")
	answers(t, i, "count", "1")
	answers(t, i, "host", "host-other")
	random(i)
	for _, o := range []tender.BootOptions{{From: tender.FromSnapshot, Env: []string{"A=b"}}, {From: tender.FromSnapshot, Stdout: sink}, {From: tender.FromParked}} {
		if _, err := tn.BootWith(t.Context(), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	answers(t, i, "count", "2")
}

// TestSnapshotPort: a program that listens elsewhere first is not initialised before it listens where requests come.
func TestSnapshotPort(t *testing.T) {
	_, _, sink := captured(t, compile(t, "twoports"), func(o *tender.StartOptions) { o.Snapshots.Port = 8080 })
	m, err := snapshot.ReadMeta(sink)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Link.Ports, []uint16{8080, 9090}) {
		t.Errorf("it listens on %v", m.Link.Ports)
	}
	if m.Link.Ahead == 0 || m.Link.AheadPort != 8080 {
		t.Errorf("stream %d of port %d is in it", m.Link.Ahead, m.Link.AheadPort)
	}
}

// TestSnapshotHolds: what was dialled before the snapshot is not in it.
func TestSnapshotHolds(t *testing.T) {
	sink := memfile(t)
	done := make(chan taken, 1)
	tn := startKVM(t, compile(t, "state"), func(o *tender.StartOptions) {
		o.Snapshots = tender.Snapshots{Key: testKey(), Sink: sink, OnTaken: func(i snapshot.Info, err error) { done <- taken{i, err} }}
	})
	first := boot(t, tn)
	answers(t, first, "count", "1")
	if got := <-done; got.err != nil || got.info.Pages == 0 {
		t.Fatalf("%+v", got)
	}
	answers(t, clone(t, tn, "c"), "count", "1")
}

// TestSnapshotLater: a program that is never at rest serves after a while, and a snapshot is taken when it rests; but none after requests if it is
// to be as before the first one.
func TestSnapshotLater(t *testing.T) {
	t.Run("auto", func(t *testing.T) { takenLater(t, 0, "500ms") })
	t.Run("manual", func(t *testing.T) { takenLater(t, abi.BootSnapManual, "5s") })
	t.Run("pristine", notTakenLater)
}

// late starts a tender whose first instance is in haste until it has a stream, and opens that.
func late(t *testing.T, flags uint32, change ...func(*tender.StartOptions)) (tn *tender.Tender, first *tender.Instance, c net.Conn, later chan error, done chan taken) {
	later, done = make(chan error, 10), make(chan taken, 1)
	tn = startKVM(t, compile(t, "state"), append(change, func(o *tender.StartOptions) {
		o.Boot.Args = append(o.Boot.Args[:1:1], "busy")
		o.Boot.Flags = flags
		o.Snapshots.Key, o.Snapshots.Sink = testKey(), memfile(t)
		o.Snapshots.OnTaken = func(i snapshot.Info, err error) { done <- taken{i, err} }
		o.Snapshots.OnLater = func(err error) { later <- err }
	})...)
	first = boot(t, tn)
	c, err := first.Dial(t.Context(), 8080) // ends its haste
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return tn, first, c, later, done
}

func takenLater(t *testing.T, flags uint32, after string) {
	t.Parallel()
	tn, first, c, later, done := late(t, flags)
	if err := <-later; !strings.Contains(err.Error(), "not initialised "+after) {
		t.Error(err)
	}
	if _, err := tn.BootWith(t.Context(), tender.BootOptions{ID: "c", From: tender.FromSnapshot}); !errors.Is(err, snapshot.ErrForeign) {
		t.Errorf("got %v", err)
	}
	if flags != 0 {
		return // it never says that it is initialised
	}
	c.Close()
	select {
	case got := <-done:
		if got.err != nil || got.info.Pages == 0 {
			t.Fatalf("%+v", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it rests, and no snapshot is taken")
	}
	answers(t, first, "count", "1")
	answers(t, clone(t, tn, "c"), "count", "1")
	f, bytes := parked(t, first)
	answers(t, woken(t, tn, "first again", f, bytes), "count", "2")
}

func notTakenLater(t *testing.T) {
	t.Parallel()
	tn, first, c, later, done := late(t, 0, func(o *tender.StartOptions) { o.Snapshots.Pristine = true })
	<-later
	c.Close()
	answers(t, first, "count", "1")
	// The next one does not hold its callers, the one after it tries again.
	for n := range 2 {
		i, err := tn.Boot(t.Context(), fmt.Sprint(n), "next", nil)
		if err != nil {
			t.Fatal(err)
		}
		hasty, err := i.Dial(t.Context(), 8080)
		if err != nil {
			t.Fatal(err)
		}
		tell(hasty, "count") // it is only closed
		hasty.Close()
		answers(t, i, "count", "1")
		if n == 0 && len(later)+len(done) > 0 {
			t.Error("it was tried again at once")
		}
	}
	if err := <-later; err == nil {
		t.Error("no reason")
	}
	select {
	case got := <-done:
		t.Errorf("taken with requests in it: %+v", got)
	default:
	}
}

func TestSnapshotRefused(t *testing.T) {
	_, _, sink := captured(t, compile(t, "state"))
	refused := make(chan error, 1)
	tn := startKVM(t, compile(t, "state"), func(o *tender.StartOptions) {
		o.Snapshots = tender.Snapshots{Key: testKey(), Image: sink, OnRefused: func(err error) { refused <- err }}
		o.Snapshots.Key.Program = [32]byte{2}
	})
	if err := <-refused; !errors.Is(err, snapshot.ErrForeign) {
		t.Errorf("got %v", err)
	}
	if _, err := tn.BootWith(t.Context(), tender.BootOptions{ID: "c", From: tender.FromSnapshot}); !errors.Is(err, snapshot.ErrForeign) {
		t.Errorf("got %v", err)
	}
	answers(t, boot(t, tn), "count", "1")
}

func TestRewind(t *testing.T) {
	tn, first, _ := captured(t, compile(t, "state"), func(o *tender.StartOptions) { o.Snapshots.Rewind = true })
	for _, i := range []*tender.Instance{first, clone(t, tn, "clone")} {
		last := ""
		for range 20 {
			answers(t, i, "count", "1")
			answers(t, i, "count", "2")
			answers(t, i, "keep secret", "secret")
			got, err := query(i, "random")
			if err != nil || got == last {
				t.Errorf("random bytes %q after %q, %v", got, last, err)
			}
			last = got
			if r := rewound(t, i); r.Pages == 0 || r.Took <= 0 {
				t.Errorf("%+v", r)
			}
		}
		t.Logf("%+v", rewound(t, i))
		// Dialled before it is done.
		for range 20 {
			done := make(chan error, 1)
			i.Rewind(func(_ tender.Rewound, err error) { done <- err })
			answers(t, i, "count", "1")
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		// Whatever it does.
		for _, what := range []string{"spin", "sleep", "grow"} {
			c, err := i.Dial(t.Context(), 8080)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(c, what)
			time.Sleep(5 * time.Millisecond)
			rewound(t, i)
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if n, err := c.Read(make([]byte, 100)); err == nil && what != "grow" {
				t.Errorf("%s: %d bytes of a stream that is gone", what, n)
			}
			c.Close()
			answers(t, i, "count", "1")
		}
		rewound(t, i)
		answers(t, i, "count", "1")
	}
}

// TestRewindEarly: callers that leave before the first instance is initialised, or while one is made of the snapshot or rewound, cost no
// instance, and nobody's stream.
func TestRewindEarly(t *testing.T) {
	for n := range 6 {
		done := make(chan taken, 1)
		tn := startKVM(t, compile(t, "state"), func(o *tender.StartOptions) {
			o.Snapshots = tender.Snapshots{Key: testKey(), Sink: memfile(t), Rewind: true,
				OnTaken: func(i snapshot.Info, err error) { done <- taken{i, err} }}
		})
		i := boot(t, tn)
		time.Sleep(time.Duration(n) * 3 * time.Millisecond) // somewhere on its way
		for round := range 30 {
			over := make(chan error, 3)
			for range cap(over) {
				c, err := i.Dial(t.Context(), 8080)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintln(c, "count")
				c.Close()
				i.Rewind(func(_ tender.Rewound, err error) { over <- err })
			}
			answers(t, i, "count", "1")
			for range cap(over) {
				if err := <-over; err != nil {
					t.Fatal(err)
				}
			}
			rewound(t, i)
			if round%5 == 0 {
				i = clone(t, tn, fmt.Sprint("c", round))
			}
		}
		if got := <-done; got.err != nil {
			t.Error(got.err)
		}
	}
}

// TestRewindEndsLines: a line that one request has begun is not ended by the next one.
func TestRewindEndsLines(t *testing.T) {
	out := &outputs{}
	_, i, _ := captured(t, compile(t, "state"), func(o *tender.StartOptions) { o.Snapshots.Rewind, o.OnOutput = true, out.add })
	for n := range 10 {
		query(i, fmt.Sprint("mutter ", n))
		rewound(t, i)
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	for n, l := range out.lines {
		if l.Line != fmt.Sprint(n) {
			t.Errorf("line %d is %q", n, l.Line)
		}
	}
	if len(out.lines) != 10 {
		t.Errorf("%d lines", len(out.lines))
	}
}

// TestRewindBeforeItListens: what is dialled meanwhile is closed, and the program goes on.
func TestRewindBeforeItListens(t *testing.T) {
	tn := startKVM(t, compile(t, "loop"), func(o *tender.StartOptions) {
		o.Snapshots = tender.Snapshots{Key: testKey(), Sink: memfile(t), Rewind: true, OnTaken: func(snapshot.Info, error) {}}
	})
	i := boot(t, tn)
	c, err := i.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rewound(t, i)
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
		t.Errorf("got %v", err)
	}
	select {
	case <-i.Done():
		t.Error(i.Exit().Reason)
	default:
	}
}

func TestPark(t *testing.T) {
	tn, first, _ := captured(t, compile(t, "state"))
	i := clone(t, tn, "p0")
	answers(t, i, "count", "1")
	before := time.Now()
	last := int64(0)
	mono := func() {
		got, err := query(i, "mono")
		n, err2 := strconv.ParseInt(got, 10, 64)
		if err != nil || err2 != nil || n <= last {
			t.Errorf("clock %q after %d, %v", got, last, err)
		}
		last = n
	}
	mono()
	for n := range 10 {
		f, bytes := parked(t, i)
		select {
		case <-i.Done():
			if e := i.Exit(); e.Kind != tender.Parked {
				t.Errorf("%+v", e)
			}
		default:
			t.Error("it is parked and lives on")
		}
		if _, err := query(i, "count"); err == nil {
			t.Error("a parked instance answers")
		}
		if n == 0 {
			t.Logf("%d bytes, %v", bytes, time.Since(before))
		}
		i = woken(t, tn, "p0", f, bytes)
		answers(t, i, "count", fmt.Sprint(n+2))
		answers(t, i, "host", "host-p0")
		mono()
	}
	// Not while it works.
	c, err := i.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := tell(c, "count"); err != nil || got != "12" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := i.Park(t.Context(), memfile(t)); !errors.Is(err, tender.ErrBusy) {
		t.Errorf("got %v", err)
	}
	if got, err := tell(c, "count"); err != nil || got != "13" {
		t.Errorf("got %q, %v", got, err)
	}
	// The one that was the snapshot, too.
	answers(t, first, "count", "1")
	f, bytes := parked(t, first)
	answers(t, woken(t, tn, "first again", f, bytes), "count", "2")
	// What is damaged is refused, and the tender goes on.
	f.WriteAt([]byte("nonsense"), bytes/2)
	if _, err := tn.BootWith(t.Context(), tender.BootOptions{ID: "d", From: tender.FromParked, Parked: f, Len: bytes}); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("got %v", err)
	}
	answers(t, clone(t, tn, "after"), "count", "1")
}

// TestFreed: memory that the program has given up goes back to the host.
func TestFreed(t *testing.T) {
	tn, _, _ := captured(t, compile(t, "state"))
	i := clone(t, tn, "c")
	private := func() int64 {
		s, err := i.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Private
	}
	answers(t, i, "count", "1")
	small := private()
	answers(t, i, "grow", "grown")
	large := private()
	answers(t, i, "shrink", "shrunk")
	for end := time.Now().Add(10 * time.Second); private() > small+(large-small)/2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes, then %d, still %d", small, large, private())
		}
	}
	t.Logf("%d bytes, then %d, then %d", small, large, private())
	answers(t, i, "grow", "grown")
	answers(t, i, "count", "2")
}

// TestSnapshotBurst starts, parks, wakes and ends many at once.
func TestSnapshotBurst(t *testing.T) {
	tn, _, _ := captured(t, compile(t, "state"), func(o *tender.StartOptions) { o.Shells = 2 })
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			id := fmt.Sprint(n)
			i := clone(t, tn, id)
			for k := range 5 {
				answers(t, i, "count", fmt.Sprint(k+1))
				f, bytes := parked(t, i)
				i = woken(t, tn, id, f, bytes)
			}
			answers(t, i, "host", "host-"+id)
			i.Kill("done")
			exit(t, i)
		})
	}
	wg.Wait()
}

// usage is what a tender's process has: descriptors, threads, and memory in KiB.
func usage(t *testing.T, pid int) (fds, threads, rss int) {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) < 2:
		case f[0] == "Threads:":
			threads, _ = strconv.Atoi(f[1])
		case f[0] == "VmRSS:":
			rss, _ = strconv.Atoi(f[1])
		}
	}
	return len(list), threads, rss
}

// TestSnapshotLeaks: after many lives a tender has what it had after a few.
func TestSnapshotLeaks(t *testing.T) {
	tn, first, _ := captured(t, compile(t, "state"), func(o *tender.StartOptions) { o.Shells = 1 })
	answers(t, first, "count", "1")
	life := func(n int) {
		i := clone(t, tn, fmt.Sprint(n))
		answers(t, i, "count", "1")
		switch n % 4 {
		case 0:
			i.Kill("done")
			exit(t, i)
		case 1:
			f, bytes := parked(t, i)
			i = woken(t, tn, "w", f, bytes)
			answers(t, i, "count", "2")
			i.Kill("done")
			exit(t, i)
		case 2:
			query(i, "crash")
			if e := exit(t, i); e.Kind != tender.Signaled {
				t.Errorf("%+v", e)
			}
		case 3:
			query(i, "grow")
			i.Kill("done")
			exit(t, i)
		}
	}
	const rounds = 200
	for n := range 20 {
		life(n)
	}
	fds, threads, rss := usage(t, tn.PID())
	for n := range rounds {
		life(n)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		f, th, r := usage(t, tn.PID())
		if f <= fds+8 && th <= threads+8 && r <= rss+48<<10 { // a shell may be there or not
			t.Logf("%d, then %d descriptors; %d, then %d threads; %d, then %d KiB", fds, f, threads, th, rss, r)
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d, then %d descriptors; %d, then %d threads; %d, then %d KiB", fds, f, threads, th, rss, r)
		}
	}
}

// TestSnapshotKills ends instances in every state that they can be in.
func TestSnapshotKills(t *testing.T) {
	tn, _, _ := captured(t, compile(t, "state"), func(o *tender.StartOptions) { o.Shells = 2; o.Snapshots.Rewind = true })
	for n, during := range []func(*tender.Instance){
		func(i *tender.Instance) {}, // being made
		func(i *tender.Instance) { query(i, "count") },
		func(i *tender.Instance) { query(i, "count"); i.Rewind(func(tender.Rewound, error) {}) },
		func(i *tender.Instance) {
			c, err := i.Dial(t.Context(), 8080)
			if err == nil {
				fmt.Fprintln(c, "spin")
				defer c.Close()
			}
			for range 3 {
				i.Rewind(func(tender.Rewound, error) {})
			}
		},
		func(i *tender.Instance) { go i.Park(t.Context(), memfile(t)) },
		func(i *tender.Instance) { i.Signal(9) },
	} {
		for range 5 {
			i := clone(t, tn, fmt.Sprint(n))
			during(i)
			i.Kill("test")
			exit(t, i)
			done := make(chan error, 1)
			i.Rewind(func(_ tender.Rewound, err error) { done <- err })
			if err := <-done; err == nil {
				t.Error("an instance that has ended was rewound")
			}
		}
	}
	answers(t, clone(t, tn, "after"), "count", "1")
}

// TestThinRewind: an instance that has given memory back is rewound like any other.
func TestThinRewind(t *testing.T) {
	t.Parallel()
	tn, _, _ := captured(t, compile(t, "state"), func(o *tender.StartOptions) { o.Snapshots.Rewind = true })
	i := clone(t, tn, "c")
	answers(t, i, "count", "1")
	private := func() int64 {
		s, err := i.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Private
	}
	before := private()
	for end := time.Now().Add(3 * time.Minute); private() > 1<<20; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes, still %d", before, private())
		}
	}
	t.Logf("%d, then %d bytes", before, private())
	answers(t, i, "count", "2")
	answers(t, i, "keep x", "x")
	for range 3 {
		rewound(t, i)
		answers(t, i, "count", "1")
		answers(t, i, "keep y", "y")
	}
}

// TestOutboundRests: no state is taken while an answer from outside is awaited; a connection that rests keeps no instance from being parked, and
// whoever is made or woken finds it reset.
func TestOutboundRests(t *testing.T) {
	let := make(chan struct{})
	to := serveTCP(t, "tcp", "127.0.0.1:0", func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		for {
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
			<-let
			fmt.Fprintln(c, "answer")
		}
	})
	time.AfterFunc(300*time.Millisecond, func() { close(let) }) // long after it listens
	tn, first, _ := captured(t, compile(t, "caller"), func(o *tender.StartOptions) {
		o.Egress = broker(t, "all")
		o.Boot.Env = append(o.Boot.Env, "TO="+to)
	})
	answers(t, first, "what", "answer, 0 resets")
	i := clone(t, tn, "c")
	answers(t, i, "what", "answer, 1 resets") // the answer is in the snapshot, the connection is not
	answers(t, i, "ask", "answer, 1 resets")
	for n := range 3 {
		f, bytes := parked(t, i)
		i = woken(t, tn, "c", f, bytes)
		answers(t, i, "ask", fmt.Sprintf("answer, %d resets", n+2))
	}
}
