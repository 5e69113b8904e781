// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/build"
	"unifaas.dev/internal/node/plain"
)

// bundle is an OCI bundle: the root folder that an image of the program has, for runc.
type bundle struct {
	dir, id, port string
}

// newBundle needs root: runc is compared the way container platforms use it.
func newBundle(ctx context.Context, source string) (*bundle, error) {
	if _, err := exec.LookPath("runc"); err != nil {
		return nil, fmt.Errorf("runc is not installed")
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("runc needs root")
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "unifaas-bench-")
	if err != nil {
		return nil, err
	}
	b := &bundle{dir: dir, port: port, id: filepath.Base(dir)}
	if err := b.write(ctx, source); err != nil {
		b.remove()
		return nil, err
	}
	return b, nil
}

func (b *bundle) write(ctx context.Context, source string) error {
	root := filepath.Join(b.dir, "rootfs")
	for _, d := range []string{"dev", "etc", "proc", "root", "run", "sys", "tmp", "var/tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	img, err := b.extract(ctx, source, root)
	if err != nil {
		return err
	}
	type m = map[string]any
	mount := func(dest, kind string, opts ...string) m {
		return m{"destination": dest, "type": kind, "source": kind, "options": opts}
	}
	// The namespaces and mounts of `runc spec`, but for the network, which is the host's.
	config := m{
		"ociVersion": "1.0.2",
		"process": m{
			"cwd": img.Cwd, "args": append([]string{img.Program}, img.Args[1:]...), "env": append(img.Env, "PORT="+b.port), "user": m{"uid": 0, "gid": 0}, "noNewPrivileges": true,
			"capabilities": m{"bounding": []string{"CAP_KILL"}, "effective": []string{"CAP_KILL"}, "permitted": []string{"CAP_KILL"}},
		},
		"root":     m{"path": "rootfs", "readonly": true},
		"hostname": "bench",
		"mounts": []m{
			mount("/proc", "proc"), mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
			mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
			mount("/tmp", "tmpfs", "nosuid", "nodev"),
		},
		"linux": m{
			"namespaces":    []m{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}},
			"maskedPaths":   []string{"/proc/kcore", "/proc/keys", "/proc/timer_list"},
			"readonlyPaths": []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "config.json"), text, 0o644)
}

// extract makes the image and puts its files into a folder.
func (b *bundle) extract(ctx context.Context, source, root string) (image.Manifest, error) {
	dir := filepath.Join(b.dir, "images")
	defer os.RemoveAll(dir)
	store, err := image.OpenStore(dir)
	if err != nil {
		return image.Manifest{}, err
	}
	m, err := build.Image(ctx, store, source, "", build.Options{})
	if err != nil {
		return image.Manifest{}, err
	}
	layers, _, err := store.Open(m.Digest)
	if err != nil {
		return image.Manifest{}, err
	}
	defer image.CloseLayers(layers)
	return m, plain.Extract(root, layers)
}

// runcLane starts a container in each turn. end removes what it left.
func runcLane(ctx context.Context, source, metric string) (l *lane, end func()) {
	b, err := newBundle(ctx, source)
	if err != nil {
		return &lane{system: Runc, metric: metric, skip: errorLine(err)}, func() {}
	}
	return &lane{system: Runc, metric: metric, once: func(ctx context.Context) (sample, error) {
		t, err := b.boot(ctx)
		if err != nil && ctx.Err() == nil {
			err = unable("%v", err)
		}
		return sample{us: us(t)}, err
	}}, b.remove
}

// boot starts the container, waits for its port and calls it: the time to the first byte. The container is gone afterwards.
func (b *bundle) boot(ctx context.Context) (time.Duration, error) {
	defer b.end()
	c := newCaller()
	defer c.close()
	start := time.Now()
	// Not CombinedOutput: the container keeps the pipe, and waiting for its end would count the container's life.
	stderr, err := os.CreateTemp(b.dir, "stderr-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(stderr.Name())
	defer stderr.Close()
	cmd := exec.CommandContext(ctx, "runc", "run", "--detach", "--bundle", b.dir, b.id)
	cmd.Stderr = stderr
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(stderr.Name())
		return 0, fmt.Errorf("runc: %w: %s", err, lastLine(string(text)))
	}
	for deadline := start.Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", "127.0.0.1:"+b.port)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("runc: port %s does not open", b.port)
		}
		time.Sleep(100 * time.Microsecond)
	}
	if _, err := c.get(ctx, "http://127.0.0.1:"+b.port+"/"); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}

func (b *bundle) end() {
	exec.Command("runc", "delete", "--force", b.id).Run()
}

func (b *bundle) remove() {
	b.end()
	os.RemoveAll(b.dir)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// errorLine is one line for a row that is skipped.
func errorLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
