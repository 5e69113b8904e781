// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/oci"
	"unifaas.dev/internal/image/tree"
)

// Container makes an image of a container image into the store, without a name. Nothing of this machine goes into it.
func Container(ctx context.Context, s *image.Store, src oci.Source, o Options) (image.Manifest, error) {
	trees, m, done, err := ociParts(ctx, s, src, o)
	if err != nil {
		return image.Manifest{}, err
	}
	defer done()
	return add(ctx, s, src.String(), "", trees, m)
}

// ociParts makes one layer of a container image: nothing in it comes from this machine, but for the bridge to a Lambda runtime.
func ociParts(ctx context.Context, s *image.Store, src oci.Source, o Options) ([]*tree.Tree, image.Manifest, func(), error) {
	img, err := oci.Load(ctx, src, s.TempDir(), o.MaxSize)
	if err != nil {
		return nil, image.Manifest{}, nil, err
	}
	m, err := ociManifest(src.String(), img)
	if err != nil {
		img.Close()
		return nil, image.Manifest{}, nil, err
	}
	trees := []*tree.Tree{img.Tree}
	if m.Contract = o.Contract; m.Contract == image.ContractLambda {
		top, err := o.lambdaContainer(src.String(), img.Tree, &m)
		if err != nil {
			img.Close()
			return nil, image.Manifest{}, nil, err
		}
		trees = append(trees, top)
	}
	return trees, m, func() { img.Close() }, nil
}

func ociManifest(name string, img *oci.Image) (image.Manifest, error) {
	c, t := &img.Config, img.Tree
	m := image.Manifest{Args: append(slices.Clone(c.Entrypoint), c.Cmd...), Cwd: path.Clean("/" + c.WorkingDir)}
	for _, kv := range c.Env {
		if k, _, ok := strings.Cut(kv, "="); ok && k != "" && !strings.ContainsRune(kv, 0) {
			m.Env = append(m.Env, kv)
		}
	}
	if !slices.ContainsFunc(m.Env, func(kv string) bool { return strings.HasPrefix(kv, "PATH=") }) {
		m.Env = append(m.Env, image.DefaultEnv()[0])
	}
	if len(m.Args) == 0 || m.Args[0] == "" {
		return m, fmt.Errorf("%s: it has neither ENTRYPOINT nor CMD: nothing says which program is started", name)
	}
	if err := ociFolders(t, m.Cwd); err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	m.Port = exposedPort(c.ExposedPorts)
	if err := setUser(t, &m, c.User); err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	return m, newLibraries(nil, t).start(name, &m)
}

// ociFolders makes the mount points and the working directory, which a container engine would make.
func ociFolders(t *tree.Tree, cwd string) error {
	for _, d := range []string{"/dev", "/proc", "/sys", "/tmp", cwd} {
		n, _, err := t.Lookup(d)
		if err == nil {
			if !n.Mode.IsDir() {
				return fmt.Errorf("%s is not a folder", d)
			}
			continue
		}
		n = tree.Dir(0o755)
		if d == "/tmp" {
			n = tree.Dir(0o777 | fs.ModeSticky)
		}
		if _, err := t.Put(d, n); err != nil {
			return err
		}
	}
	return nil
}

// exposedPort is the TCP port that an image names; of several, 8080 or the lowest.
func exposedPort(ports map[string]struct{}) int {
	best := 0
	for p := range ports {
		num, proto, _ := strings.Cut(p, "/")
		n, err := strconv.Atoi(num)
		if err != nil || n < 1 || n > 65535 || proto != "" && proto != "tcp" {
			continue
		}
		if best == 0 || n == 8080 || best != 8080 && n < best {
			best = n
		}
	}
	return best
}
