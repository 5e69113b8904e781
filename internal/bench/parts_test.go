// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/gateway/api"
)

func TestTiming(t *testing.T) {
	a := answer{took: 500 * time.Microsecond, header: http.Header{api.HeaderTiming: {`{"cold":true,"origin":"snapshot","instance":"a_us","queue_us":7,"new_us":100,"first_byte_us":3,"total_us":400}`}}}
	got, steps, err := a.timing()
	if want := (timing{true, "snapshot"}); err != nil || got != want {
		t.Errorf("timing %+v, %v", got, err)
	}
	if want := []Step{{"queue", 7}, {"new", 100}, {"first_byte", 3}, {"other", 390}}; !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
	for _, text := range []string{"", "{", `{"cold":1}`, "[]"} {
		if _, _, err := (answer{header: http.Header{api.HeaderTiming: {text}}}).timing(); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestTurns(t *testing.T) {
	var order []string
	made := func(name string, fail error) *lane {
		return &lane{system: name, metric: "m", ready: func(context.Context) error { order = append(order, "-"+name); return nil },
			once: func(context.Context) (sample, error) {
				order = append(order, name)
				return sample{us: float64(len(order)), steps: []Step{{"x", 1}, {"none", 0}}}, fail
			}}
	}
	a, b, c := made("a", nil), made("b", nil), made("c", unable("no %s", "c"))
	if err := turns(t.Context(), &Options{Progress: func(string, ...any) {}}, "n", 2, []*lane{a, c, b}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "-a a -c c -b b -a a -b b -a a -b b" {
		t.Errorf("order %s", got)
	}
	if r := a.row("x"); r.N != 2 || r.P50 != 8 || len(r.Steps) != 1 || r.Steps[0] != (Step{"x", 1}) {
		t.Errorf("row %+v", r)
	}
	if r := c.row("x"); r.Skipped != "no c" || r.N != 0 {
		t.Errorf("row %+v", r)
	}
	boom := errors.New("boom")
	if err := turns(t.Context(), &Options{Progress: func(string, ...any) {}}, "n", 1, []*lane{made("d", boom)}); !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
}

// TestJudge: every kind of target, on both sides of it.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		suite, name, metric, unit string
		mine, other               float64
		of, metricOf              string
		want                      *verdict
	}{
		{"start", "c-hello", "boot", "us", 3000, 30000, Runc, "boot", &verdict{"≤ 0.1 × runc", "0.1 ×", true}},
		{"start", "c-hello", "boot", "us", 3001, 30000, Runc, "boot", &verdict{"≤ 0.1 × runc", "0.1 ×", false}},
		{"start", "go-hello", "cold_new_tender", "us", 31, 10, KVM, "cold", &verdict{"≤ 3 × cold", "3.1 ×", false}},
		{"warm", "go-hello/16", "throughput", "1/s", 900, 1000, Process, "throughput", &verdict{"≥ 0.8 × process", "0.9 ×", true}},
		{"warm", "go-hello/16", "throughput", "1/s", 700, 1000, Process, "throughput", &verdict{"≥ 0.8 × process", "0.7 ×", false}},
		{"rewind", "python-hello", "added", "us", 200, 0, "", "", &verdict{"≤ 300 us", "200 us", true}},
		{"density", "python-hello", "instances", "instances", 19999, 0, "", "", &verdict{"≥ 20000 instances", "19999 instances", false}},
		{"density", "c-hello", "instances", "instances", 19999, 0, "", "", nil},
		{"start", "c-hello", "boot", "us", 3000, 0, "", "", nil}, // nothing to compare with
		{"compute", "sort", "latency", "us", 1, 1, Process, "latency", &verdict{"≤ 1.03 × process", "1 ×", true}},
	} {
		r := Result{Suite: c.suite, Rows: []Row{single(c.name, KVM, c.metric, c.unit, c.mine)}}
		if c.of != "" {
			r.Rows = append(r.Rows, single(c.name, c.of, c.metricOf, c.unit, c.other))
		}
		if got := r.judge(r.Rows[0]); (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%+v: %+v, want %+v", c, got, c.want)
		}
	}
}

// TestPage: the page draws what varies, and loads nothing.
func TestPage(t *testing.T) {
	slow, fast := samples{9, 10, 11, 30}.row("a", KVM, "boot", "us"), samples{1, 2, 2, 3}.row("a", Process, "boot", "us")
	slow.Steps, slow.Counts = []Step{{"queue", 4}, {"first_byte", 6}}, []Step{{"exits", 12}}
	var out bytes.Buffer
	if err := HTML(&out, &Result{Suite: "start", Rows: []Row{slow, fast, skipped("a", Runc, "boot", "no <runc>")}}); err != nil {
		t.Fatal(err)
	}
	h := out.String()
	if n := strings.Count(h, `class="dot"`); n != 8 {
		t.Errorf("%d dots", n)
	}
	for _, want := range []string{"first byte", `class="n">12`, "no &lt;runc&gt;", "10 us", "5 ×"} {
		if !strings.Contains(h, want) {
			t.Errorf("no %q", want)
		}
	}
	if bad := regexp.MustCompile(`<script|<link|<img|https?:|@import|url\(|NaN|Inf\b|ZgotmplZ`).FindString(h); bad != "" {
		t.Errorf("the page has %q", bad)
	}
	// Coordinates are within the picture, however far apart the samples are.
	for _, m := range regexp.MustCompile(`cx="([^"]*)"`).FindAllStringSubmatch(h, -1) {
		var x float64
		if err := json.Unmarshal([]byte(m[1]), &x); err != nil || x < plotLeft || x > plotRight {
			t.Errorf("dot at %q: %v", m[1], err)
		}
	}
}

func TestScale(t *testing.T) {
	for _, rows := range [][]Row{
		{samples{0, 0, 5}.row("a", KVM, "m", "us")},
		{samples{7, 7, 7}.row("a", KVM, "m", "us")},
		{samples{-3, 2, 4}.row("a", KVM, "m", "us"), single("a", Process, "m", "us", 1e9)},
	} {
		rows[0].P50 = max(rows[0].P50, 1)
		for _, p := range plots(rows) {
			for _, l := range p.Lanes {
				for _, x := range []float64{l.Median, l.Q1, l.Q3, l.P99} {
					if x != 0 && !(x >= plotLeft && x <= plotRight) {
						t.Errorf("%+v: x %v", rows, x)
					}
				}
			}
		}
	}
}

// TestUsed: memory of a child, a memory file that it holds twice, and what it gives back.
func TestUsed(t *testing.T) {
	const size = 32 << 20
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	lines := bufio.NewScanner(out)
	step := func() usage {
		t.Helper()
		if !lines.Scan() {
			t.Fatal("the child ended")
		}
		u, err := used(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		in.Write([]byte("\n"))
		return u
	}
	before, anon, memfd, twice, gone := step(), step(), step(), step(), step()
	near := func(what string, d, want int64) {
		t.Helper()
		if d < want-4<<20 || d > want+4<<20 {
			t.Errorf("%s: %d MiB more, want %d", what, d>>20, want>>20)
		}
	}
	near("anonymous memory", anon.Anonymous-before.Anonymous, size)
	near("a memory file that is not mapped", memfd.Memfds-anon.Memfds, size)
	near("mapped and held twice", twice.Memfds-memfd.Memfds, 0)
	near("of which no descriptor is left", gone.Memfds-twice.Memfds, 0)
	if before.Processes != 1 || before.total() <= 0 {
		t.Errorf("%+v", before)
	}
}

// holderEnv makes of this program the child of TestUsed.
const holderEnv = "UNIFAAS_BENCH_HOLDER"

func TestMain(m *testing.M) {
	if os.Getenv(holderEnv) != "" {
		if err := hold(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hold takes memory of several kinds, and waits for a line each time.
func hold() error {
	const size = 32 << 20
	next := bufio.NewScanner(os.Stdin)
	step := func() {
		fmt.Println("ready")
		next.Scan()
	}
	step()
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return err
	}
	step()
	fd, err := unix.MemfdCreate("bench", 0)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, m); err != nil {
		return err
	}
	step()
	dup, err := unix.Dup(fd)
	if err != nil {
		return err
	}
	if _, err := unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return err
	}
	step()
	unix.Close(fd)
	unix.Close(dup)
	step()
	return nil
}

func TestFamily(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 60 & echo; wait")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(out).ReadByte()
	pids, err := family(cmd.Process.Pid)
	if err != nil || len(pids) != 2 || pids[0] != cmd.Process.Pid {
		t.Errorf("family %v, %v", pids, err)
	}
	if err := settle(t.Context(), cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	for _, p := range pids {
		unix.Kill(p, unix.SIGKILL)
	}
	cmd.Wait()
}
