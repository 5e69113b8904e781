// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
)

// node is a `unifaas up` of its own, on a free port and an empty data folder.
type node struct {
	cmd    *exec.Cmd
	dir    string
	addr   string
	client *client.Client
	done   chan struct{}
	mu     sync.Mutex
	stderr bytes.Buffer
}

// startNode waits until the node says that it is up.
func startNode(ctx context.Context, exe string, args ...string) (_ *node, err error) {
	n := &node{done: make(chan struct{})}
	if n.dir, err = os.MkdirTemp("", "unifaas-bench-"); err != nil {
		return nil, err
	}
	n.cmd = exec.CommandContext(ctx, exe, append([]string{"up", "--listen", "127.0.0.1:0", "--data", n.dir}, args...)...)
	n.cmd.Cancel = func() error { return n.cmd.Process.Signal(syscall.SIGTERM) }
	n.cmd.WaitDelay = 10 * time.Second
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is for us first
	n.cmd.Stderr = n
	out, err := n.cmd.StdoutPipe()
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		os.RemoveAll(n.dir)
		return nil, err
	}
	up := make(chan string, 1)
	go func() {
		defer close(n.done)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			if _, rest, ok := strings.Cut(sc.Text(), "http://"); ok {
				addr, _, _ := strings.Cut(rest, " ")
				select {
				case up <- addr:
				default:
				}
			}
		}
		n.cmd.Wait()
	}()
	select {
	case n.addr = <-up:
	case <-n.done:
		err = fmt.Errorf("unifaas up ended: %s", n.lastWords())
	case <-time.After(30 * time.Second):
		err = errors.New("unifaas up did not start within 30 s")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		n.client, err = client.New(n.addr)
	}
	if err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

// Write keeps what the node says on stderr.
func (n *node) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stderr.Write(p)
}

func (n *node) lastWords() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return lastLine(n.stderr.String())
}

// stop ends the node and removes its data.
func (n *node) stop() {
	n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.done:
	case <-time.After(40 * time.Second):
		n.cmd.Process.Kill()
		<-n.done
	}
	os.RemoveAll(n.dir)
}

// deploy makes a function of a program.
func (n *node) deploy(ctx context.Context, name, program string) error {
	f, err := os.Open(program)
	if err != nil {
		return err
	}
	defer f.Close()
	img, err := n.client.Upload(ctx, name, filepath.Base(program), f)
	if err != nil {
		return err
	}
	one, conc, memory := 1, 100, int64(256<<20)
	_, err = n.client.Deploy(ctx, name, api.DeployRequest{Image: img.Digest, ImageName: img.Name, Max: &one, Concurrency: &conc, Memory: &memory})
	return err
}

// empty takes away all instances of a function and waits until they are gone.
func (n *node) empty(ctx context.Context, name string) error {
	if _, err := n.client.Scale(ctx, name, 0); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		is, err := n.client.Instances(ctx, name)
		if err != nil || len(is) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("instances of %s do not end", name)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (n *node) url(function string) string { return "http://" + n.addr + "/function/" + function + "/" }
