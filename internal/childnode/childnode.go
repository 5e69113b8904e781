// SPDX-License-Identifier: Apache-2.0

// Package childnode runs a node as a child process, for measurements and tests: `unifaas up` on a free port, with a data
// folder of its own.
package childnode

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/build"
)

// Node is a running node.
type Node struct {
	Addr   string // HOST:PORT of its gateway
	Client *client.Client

	cmd    *exec.Cmd
	temp   string // data folder made by Start
	done   chan struct{}
	mu     sync.Mutex
	stderr bytes.Buffer
}

// Start starts a node and waits until it says that it is up. An empty data is a new folder, removed by Stop.
func Start(ctx context.Context, exe, data string, args ...string) (_ *Node, err error) {
	n := &Node{done: make(chan struct{})}
	if data == "" {
		if n.temp, err = os.MkdirTemp("", "unifaas-node-"); err != nil {
			return nil, err
		}
		data = n.temp
	}
	n.cmd = exec.CommandContext(ctx, exe, append([]string{"up", "--listen", "127.0.0.1:0", "--data", data}, args...)...)
	n.cmd.Cancel = func() error { return n.cmd.Process.Signal(syscall.SIGTERM) }
	n.cmd.WaitDelay = 10 * time.Second
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is for us first
	n.cmd.Stderr = n
	out, err := n.cmd.StdoutPipe()
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		n.clean()
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
	case n.Addr = <-up:
	case <-n.done:
		err = fmt.Errorf("unifaas up ended: %s", n.lastWords())
	case <-time.After(30 * time.Second):
		err = errors.New("unifaas up did not start within 30 s")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		n.Client, err = client.New(n.Addr)
	}
	if err != nil {
		n.Stop()
		return nil, err
	}
	return n, nil
}

// Write keeps what the node says on stderr.
func (n *Node) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stderr.Write(p)
}

func (n *Node) lastWords() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := strings.Split(strings.TrimSpace(n.stderr.String()), "\n")
	return strings.TrimPrefix(l[len(l)-1], "unifaas: ")
}

// Stderr is all that the node has said.
func (n *Node) Stderr() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stderr.String()
}

// Dump ends the node with SIGQUIT, on which it says what each goroutine does.
func (n *Node) Dump() string {
	n.cmd.Process.Signal(syscall.SIGQUIT)
	<-n.done
	return n.Stderr()
}

// PID is that of the node's process.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// Died is nil while the node runs, else what it said last.
func (n *Node) Died() error {
	select {
	case <-n.done:
		return fmt.Errorf("the node ended: %s", n.lastWords())
	default:
		return nil
	}
}

// Kill ends the node as a crash would.
func (n *Node) Kill() {
	n.cmd.Process.Kill()
	<-n.done
}

// Stop ends the node as SIGTERM does, and removes the data folder that Start made.
func (n *Node) Stop() error {
	n.cmd.Process.Signal(syscall.SIGTERM)
	defer n.clean()
	select {
	case <-n.done:
	case <-time.After(40 * time.Second):
		n.Kill()
		return errors.New("the node did not end within 40 s of SIGTERM")
	}
	if s := n.cmd.ProcessState; !s.Success() {
		return fmt.Errorf("the node ended with %s: %s", s, n.lastWords())
	}
	return nil
}

func (n *Node) clean() {
	if n.temp != "" {
		os.RemoveAll(n.temp)
	}
}

// Deploy makes a function of a source, anything that images are made of, and waits until it is known whether it answers. What q does not say gets its
// default.
func (n *Node) Deploy(ctx context.Context, name, source string, q api.DeployRequest) error {
	return n.DeployWith(ctx, name, source, build.Options{}, q)
}

// DeployWith is Deploy of an image that is made in a certain way.
func (n *Node) DeployWith(ctx context.Context, name, source string, o build.Options, q api.DeployRequest) error {
	dir, err := os.MkdirTemp("", "unifaas-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := image.OpenStore(dir)
	if err != nil {
		return err
	}
	m, err := build.Image(ctx, store, source, "", o)
	if err != nil {
		return err
	}
	img, err := n.Client.Push(ctx, store, m, name, func(_ int64, r io.Reader) io.ReadCloser { return io.NopCloser(r) })
	if err != nil {
		return err
	}
	q.Image, q.ImageName = img.Digest, img.Name
	r, err := n.Client.Deploy(ctx, name, q)
	if err == nil {
		_, err = n.Client.Await(ctx, name, r.Wanted.Number)
	}
	return err
}

// Empty takes away all instances of a function and waits until they are gone.
func (n *Node) Empty(ctx context.Context, name string) error {
	if _, err := n.Client.Scale(ctx, name, 0); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; {
		is, err := n.Client.Instances(ctx, name)
		if err != nil || len(is) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("instances of %s do not end", name)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// URL is where a function is called.
func (n *Node) URL(function string) string { return "http://" + n.Addr + "/function/" + function + "/" }
