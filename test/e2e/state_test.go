// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/seal"
	"unifaas.dev/internal/testkit"
)

// natsServer is a NATS server as somebody would run one beside the nodes.
type natsServer struct {
	t    *testing.T
	dir  string
	port int
	s    *server.Server
}

func (n *natsServer) start() {
	n.t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: n.port, JetStream: true, StoreDir: n.dir, NoSigs: true, NoLog: true})
	if err != nil {
		n.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		n.t.Fatal("the NATS server does not start")
	}
	n.s = s
	_, port, _ := strings.Cut(s.Addr().String(), ":")
	if n.port, err = strconv.Atoi(port); err != nil {
		n.t.Fatal(err)
	}
}

func (n *natsServer) stop() {
	n.s.Shutdown()
	n.s.WaitForShutdown()
}

func (n *natsServer) node(data string) *childnode.Node {
	n.t.Helper()
	testkit.NeedKVM(n.t)
	c, err := childnode.Start(context.Background(), testkit.Unifaas(n.t), data, "--nats", fmt.Sprintf("nats://127.0.0.1:%d", n.port))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Stop() })
	return c
}

// eventually waits for something that another node, or the node in the background, has to do.
func eventually(t *testing.T, what string, ok func() (string, bool)) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		last, done := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("never: %s; last: %s", what, last)
		}
	}
}

// answers waits until a function answers so on a node.
func answers(t *testing.T, n *childnode.Node, name, want string) {
	t.Helper()
	eventually(t, want, func() (string, bool) {
		code, body := get(t, n, name, "/env")
		return fmt.Sprint(code, " ", body), code == http.StatusOK && body == want
	})
}

// revise makes a revision whose GREETING is given, and waits until it is served.
func revise(t *testing.T, n *childnode.Node, name, greeting string) error {
	t.Helper()
	r, err := n.Client.Deploy(t.Context(), name, api.DeployRequest{Env: map[string]string{"GREETING": greeting}})
	if err == nil {
		_, err = n.Client.Await(t.Context(), name, r.Wanted.Number)
	}
	return err
}

// TestTwoNodes: two nodes with one NATS server have the same functions, images, snapshots and secrets. Without the server they go on to serve
// what they have.
func TestTwoNodes(t *testing.T) {
	t.Setenv(seal.EnvKey, base64.StdEncoding.EncodeToString(make([]byte, seal.KeySize)))
	nats := &natsServer{t: t, dir: t.TempDir(), port: server.RANDOM_PORT}
	nats.start()
	defer func() { nats.stop() }()
	a, dataB := nats.node(t.TempDir()), t.TempDir()
	b := nats.node(dataB)
	name := misbehave(t, a, api.DeployRequest{Env: map[string]string{"GREETING": "from a"}})
	answers(t, a, name, "from a")
	answers(t, b, name, "from a") // its image came from the server
	if err := revise(t, b, name, "from b"); err != nil {
		t.Fatal(err)
	}
	answers(t, b, name, "from b")
	answers(t, a, name, "from b")

	// A node that has lost everything starts from what the others took.
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	for _, d := range []string{"images", "snapshots", "logs"} {
		if err := os.RemoveAll(filepath.Join(dataB, d)); err != nil {
			t.Fatal(err)
		}
	}
	b = nats.node(dataB)
	answers(t, b, name, "from b")
	if text := logs(t, b, name, saidFromSnapshot); strings.Contains(text, saidTaken) {
		t.Errorf("it took a snapshot of its own:\n%s", text)
	}

	if err := a.Client.CreateSecret(t.Context(), api.FunctionSecret{Name: "key", Value: "hidden"}); err != nil {
		t.Fatal(err)
	}
	if l, err := b.Client.Secrets(t.Context(), ""); err != nil || len(l) != 1 || l[0].Name != "key" {
		t.Errorf("%+v %v", l, err)
	}

	// The key of secrets stays in the nodes.
	children := 0
	for _, n := range []*childnode.Node{a, b} {
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", n.PID()))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lists {
			pids, _ := os.ReadFile(l) // the thread may have ended
			for _, pid := range strings.Fields(string(pids)) {
				env, err := os.ReadFile("/proc/" + pid + "/environ")
				if err == nil {
					children++
				}
				if strings.Contains(string(env), seal.EnvKey) {
					t.Errorf("process %s has the master key", pid)
				}
			}
		}
	}
	if children == 0 {
		t.Error("the nodes have no tenders")
	}

	// Without the server.
	nats.stop()
	for _, n := range []*childnode.Node{a, b} {
		wantOK(t, n, name)
		if err := n.Empty(t.Context(), name); err == nil {
			t.Error("a change without the server")
		}
	}
	err := revise(t, a, name, "lost")
	var status *client.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusServiceUnavailable || strings.Contains(err.Error(), "\n") {
		t.Errorf("deploy without the server: %v", err)
	}
	answers(t, a, name, "from b")
	nats.start()
	eventually(t, "changes are taken again", func() (string, bool) {
		err := revise(t, a, name, "again")
		return fmt.Sprint(err), err == nil
	})
	answers(t, a, name, "again")
	answers(t, b, name, "again")
	if err := b.Client.Remove(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other node forgets it", func() (string, bool) {
		code, body := get(t, a, name, "/env")
		return fmt.Sprint(code, body), code == http.StatusNotFound
	})
}

// TestKilledAmidDeploys: a node is killed while revisions are deployed one after the other. The next one serves the last revision that it
// said was there, or the one that came then, and nothing in between.
func TestKilledAmidDeploys(t *testing.T) {
	data := t.TempDir()
	n := startIn(t, data)
	name := misbehave(t, n, api.DeployRequest{Env: map[string]string{"GREETING": "0"}})
	done := 0
	for round := range 5 {
		killed := make(chan struct{})
		first := done
		go func() {
			defer close(killed)
			time.Sleep(time.Duration(20+round*37) * time.Millisecond) // anywhere
			n.Kill()
		}()
		for revise(t, n, name, strconv.Itoa(done+1)) == nil {
			done++
		}
		<-killed
		n = startIn(t, data)
		if s := n.Stderr(); s != "" {
			t.Errorf("round %d: %s", round, s)
		}
		code, body := get(t, n, name, "/env")
		if got, err := strconv.Atoi(body); code != http.StatusOK || err != nil || got != done && got != done+1 {
			t.Fatalf("round %d: %d %q after revisions %d to %d", round, code, body, first, done)
		}
		d, err := n.Client.Describe(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		newest := d.Revisions[0].Env["GREETING"]
		if newest != strconv.Itoa(done) && newest != strconv.Itoa(done+1) {
			t.Errorf("round %d: the newest revision is %q after %d", round, newest, done)
		}
		if err := revise(t, n, name, newest); err != nil { // a revision that was begun is finished
			t.Fatal(err)
		}
		answers(t, n, name, newest)
		if done, err = strconv.Atoi(newest); err != nil {
			t.Fatal(err)
		}
	}
	if done == 0 {
		t.Error("nothing was ever deployed")
	}
}

// TestFullDisk: when the disk of the data folder is full nothing new is taken, with status 507, and what is deployed goes on.
func TestFullDisk(t *testing.T) {
	testkit.NeedKVM(t)
	if os.Geteuid() != 0 {
		t.Skip("a small file system is mounted for it: run it as root")
	}
	data := t.TempDir()
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(data, unix.MNT_DETACH) })
	n := startIn(t, data)
	name := misbehave(t, n, api.DeployRequest{Env: map[string]string{"GREETING": "before"}})
	answers(t, n, name, "before")

	filler := filepath.Join(data, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	f.Close()
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	full := func(what string, err error) {
		t.Helper()
		var status *client.StatusError
		if !errors.As(err, &status) || status.Status != http.StatusInsufficientStorage || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want 507", what, err)
		}
	}
	full("revision", revise(t, n, name, "lost"))
	full("function", n.Deploy(t.Context(), "other", testkit.Built(t, "build/examples/c-hello", "examples"), api.DeployRequest{}))
	full("secret", n.Client.CreateSecret(t.Context(), api.FunctionSecret{Name: "key", Value: "x"}))
	resp, err := http.Post("http://"+n.Addr+"/unifaas/v1/images?name=x", "application/octet-stream", io.LimitReader(zeros{}, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusInsufficientStorage {
		t.Errorf("image: %d, want 507", resp.StatusCode)
	}
	if resp, err = http.Post("http://"+n.Addr+"/async-function/"+name, "text/plain", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusInsufficientStorage {
		t.Errorf("asynchronous invocation: %d, want 507", resp.StatusCode)
	}
	answers(t, n, name, "before")
	if code, _ := get(t, n, name, "/exit"); code != http.StatusBadGateway {
		t.Errorf("/exit: %d", code)
	}
	answers(t, n, name, "before") // a new instance

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := revise(t, n, name, "after"); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
	answers(t, n, name, "after")
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	n = startIn(t, data)
	answers(t, n, name, "after")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
