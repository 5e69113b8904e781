// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
)

// seenTenders is the key of the tenders that a script has seen, by revision.
type seenTenders struct{}

// nodeEnv gives a script a free port, as LISTEN and for the verbs that talk to a node.
func nodeEnv(e *testscript.Env) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	e.Values[seenTenders{}] = map[string]map[int]bool{}
	reg := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	e.Defer(reg.Close)
	e.Setenv("REGISTRY", strings.TrimPrefix(reg.URL, "http://"))
	e.Setenv("LISTEN", l.Addr().String())
	e.Setenv("NODEPORT", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	e.Setenv("UNIFAAS_GATEWAY", "http://"+l.Addr().String())
	return nil
}

// nodeCmds are commands of scripts about nodes.
func nodeCmds() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"waitup":     waitUp,
		"load":       load,
		"within":     within,
		"procs":      procs,
		"killpid":    killPID,
		"waitparked": waitParked,
		"push":       push,
		"waitlog":    waitLog,
		"waitdead":   waitDead,
		"http":       sendHTTP,
	}
}

// push NAME PROGRAM [K=V...]: puts a static program as an image into the registry at $REGISTRY.
func push(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: push NAME PROGRAM [K=V...]")
	}
	program, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	ts.Check(w.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg}))
	w.Write(program)
	ts.Check(w.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	ts.Check(err)
	img, err := mutate.AppendLayers(empty.Image, l)
	ts.Check(err)
	cf, err := img.ConfigFile()
	ts.Check(err)
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Config = "linux", "amd64", v1.Config{Entrypoint: []string{"/program"}, Env: args[2:]}
	img, err = mutate.ConfigFile(img, cf)
	ts.Check(err)
	ref, err := name.ParseReference(ts.Getenv("REGISTRY") + "/" + args[0])
	ts.Check(err)
	ts.Check(remote.Write(ref, img))
}

// http STATUS METHOD PATH [USER:PASSWORD [BODY]]: a request to the node has that status; its answer becomes the file "answer".
func sendHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: http STATUS METHOD PATH [USER:PASSWORD [BODY]]")
	}
	args = append(args, "", "")
	req, err := http.NewRequest(args[1], "http://"+ts.Getenv("LISTEN")+args[2], strings.NewReader(args[4]))
	ts.Check(err)
	if user, password, ok := strings.Cut(args[3], ":"); ok {
		req.SetBasicAuth(user, password)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	ts.Check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), text, 0o600))
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("%s %s: %s %s, want %s", args[1], args[2], resp.Status, text, args[0])
	}
}

// waitUp waits until the node at $LISTEN answers.
func waitUp(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + ts.Getenv("LISTEN") + "/healthz")
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("node does not come up: %v", err)
		}
	}
}

// waitParked FUNCTION COUNT: waits until that many instances are parked and no other is there.
func waitParked(ts *testscript.TestScript, neg bool, args []string) {
	c, err := client.New("http://" + ts.Getenv("LISTEN"))
	if err != nil || len(args) != 2 {
		ts.Fatalf("usage: waitparked FUNCTION COUNT; %v", err)
	}
	var states []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		list, err := c.Instances(context.Background(), args[0])
		if err != nil {
			ts.Fatalf("%v", err)
		}
		states = nil
		parked := 0
		for _, i := range list {
			states = append(states, i.State)
			if i.State == "parked" {
				parked++
			}
		}
		if strconv.Itoa(parked) == args[1] && parked == len(list) {
			return
		}
	}
	ts.Fatalf("instances of %s: %v", args[0], states)
}

// waitLog FUNCTION REGEXP: waits until a line of a function's log has it.
func waitLog(ts *testscript.TestScript, neg bool, args []string) {
	c, err := client.New("http://" + ts.Getenv("LISTEN"))
	if err != nil || len(args) != 2 {
		ts.Fatalf("usage: waitlog FUNCTION REGEXP; %v", err)
	}
	want, err := regexp.Compile(args[1])
	if err != nil {
		ts.Fatalf("%v", err)
	}
	var seen []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		seen = nil
		err := c.Logs(context.Background(), client.LogQuery{Function: args[0], Tail: -1}, func(l api.LogLine) error {
			seen = append(seen, l.Text)
			return nil
		})
		if err != nil {
			ts.Fatalf("%v", err)
		}
		if slices.ContainsFunc(seen, want.MatchString) {
			return
		}
	}
	ts.Fatalf("log of %s: %q", args[0], seen)
}

// waitDead COUNT: waits until there are so many dead letters and nothing is queued.
func waitDead(ts *testscript.TestScript, neg bool, args []string) {
	c, err := client.New("http://" + ts.Getenv("LISTEN"))
	if err != nil || len(args) != 1 {
		ts.Fatalf("usage: waitdead COUNT; %v", err)
	}
	var a api.Async
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if a, err = c.Async(context.Background(), ""); err != nil {
			ts.Fatalf("%v", err)
		}
		if len(a.Queues) == 0 && strconv.Itoa(a.DeadTotal) == args[0] {
			return
		}
	}
	ts.Fatalf("%+v", a)
}

// load FUNCTION COUNT CALLERS: invokes and fails if any answer is not 200.
func load(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: load FUNCTION COUNT CALLERS")
	}
	count, _ := strconv.Atoi(args[1])
	callers, _ := strconv.Atoi(args[2])
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	work := make(chan int)
	var mu sync.Mutex
	bad := map[string]int{}
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for n := range work {
				resp, err := client.Post("http://"+ts.Getenv("LISTEN")+"/function/"+args[0], "text/plain", strings.NewReader(fmt.Sprint(n)))
				text := ""
				if err != nil {
					text = err.Error()
				} else {
					resp.Body.Close()
					if resp.StatusCode == http.StatusOK {
						continue
					}
					text = resp.Status
				}
				mu.Lock()
				bad[text]++
				mu.Unlock()
			}
		})
	}
	for n := range count {
		work <- n
	}
	close(work)
	all.Wait()
	if len(bad) > 0 {
		ts.Fatalf("%d invocations by %d callers: failures %v", count, callers, bad)
	}
}

// within MIN MAX METHOD URL STATUS: a request has that status after a time between the two. On a busy machine one may be
// late for reasons of its own, so several are made; none may be early.
func within(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 5 {
		ts.Fatalf("usage: within MIN MAX METHOD URL STATUS")
	}
	least, err1 := time.ParseDuration(args[0])
	most, err2 := time.ParseDuration(args[1])
	if err1 != nil || err2 != nil {
		ts.Fatalf("%v %v", err1, err2)
	}
	var took time.Duration
	for range 5 {
		req, err := http.NewRequest(args[2], args[3], nil)
		if err != nil {
			ts.Fatalf("%v", err)
		}
		start := time.Now()
		resp, err := http.DefaultTransport.RoundTrip(req)
		took = time.Since(start)
		if err != nil {
			ts.Fatalf("%v", err)
		}
		resp.Body.Close()
		if strconv.Itoa(resp.StatusCode) != args[4] || took < least {
			ts.Fatalf("%s after %v, want %s between %v and %v", resp.Status, took, args[4], least, most)
		}
		if took <= most {
			return
		}
	}
	ts.Fatalf("%s after %v, want it within %v", args[4], took, most)
}

// procs [!] REVISION: its tenders. It fails unless there is one, or with ! unless those that were seen before are gone, within some seconds.
func procs(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] procs REVISION")
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		n := len(tendersOf(ts, args[0], !neg))
		if neg == (n == 0) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%d tenders of %s", n, args[0])
		}
	}
}

// killPID REVISION: SIGKILL for the tenders of a revision.
func killPID(ts *testscript.TestScript, neg bool, args []string) {
	pids := tendersOf(ts, args[0], true)
	if len(pids) == 0 {
		ts.Fatalf("no tender of %s", args[0])
	}
	for pid := range pids {
		if p, err := os.FindProcess(pid); err == nil {
			p.Kill()
		}
	}
}

// tendersOf are the tender processes of a revision that live: those that a script has seen and, if it is to look, those that the node lists now. A
// tender may have been started before anybody knew whose it would be, so its command line does not say.
func tendersOf(ts *testscript.TestScript, revision string, look bool) map[int]bool {
	seen := ts.Value(seenTenders{}).(map[string]map[int]bool)
	pids := seen[revision]
	if pids == nil {
		pids = map[int]bool{}
		seen[revision] = pids
	}
	if look {
		c, err := client.New("http://" + ts.Getenv("LISTEN"))
		if err != nil {
			ts.Fatalf("%v", err)
		}
		list, err := c.Instances(context.Background(), "")
		if err != nil {
			ts.Fatalf("%v", err)
		}
		for _, i := range list {
			if i.Revision == revision && i.TenderPID != 0 {
				pids[i.TenderPID] = true
			}
		}
	}
	for pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.HasPrefix(string(text), "unifaas\x00tender\x00") {
			delete(pids, pid)
		}
	}
	return pids
}
