// SPDX-License-Identifier: Apache-2.0

package plain_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/plain"
	"unifaas.dev/internal/testkit"
)

type log struct {
	sync.Mutex
	strings.Builder
}

func (l *log) Line(_, _, stream, text string, _ time.Time) {
	l.Lock()
	defer l.Unlock()
	fmt.Fprintln(l, stream, text)
}

func TestServesAndLeavesNothing(t *testing.T) {
	gcc := testkit.NeedTool(t, "gcc")
	dir := t.TempDir()
	program := filepath.Join(dir, "hello")
	if out, err := exec.Command(gcc, "-static", "-O1", "-o", program, filepath.Join(testkit.Root(t), "examples/c-hello/hello.c")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	images, err := image.OpenStore(filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := images.Import(context.Background(), program, "hello")
	if err != nil {
		t.Fatal(err)
	}
	programs := filepath.Join(dir, "programs")
	said := &log{}
	n := node.New(&plain.Runtime{Dir: programs}, images, said, node.Options{})
	defer n.Close(context.Background())
	n.Apply(node.Spec{Function: "f", Revision: "f-1", Image: m.Digest, Memory: 64 << 20, Timeout: 5 * time.Second, Concurrency: 4, Port: 8080, Scale: node.Scale{Max: 2}})
	call := func() (string, error) {
		inv := n.Invoke("f", time.Now())
		defer inv.End(false)
		req, err := http.NewRequest("GET", "http://f/", nil)
		if err != nil {
			return "", err
		}
		resp, err := inv.RoundTrip(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return string(text), err
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := call(); err != nil || !strings.Contains(got, "Hello") {
				t.Errorf("%q %v", got, err)
			}
		})
	}
	all.Wait()
	list := n.Instances(context.Background(), "f", true)
	if len(list) == 0 || len(list) > 2 || list[0].Usage.Memory == 0 {
		t.Errorf("%+v", list)
	}
	n.Remove("f", nil)
	if _, err := call(); !errors.Is(err, node.ErrNoFunction) {
		t.Error(err)
	}
	n.Close(context.Background())
	if left, err := os.ReadDir(programs); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
	if out, _ := exec.Command("pgrep", "-f", programs).Output(); len(out) != 0 {
		t.Errorf("processes left: %s", out)
	}
}
