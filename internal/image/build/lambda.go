// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/bridge"
	"unifaas.dev/internal/image/tree"
)

const lambdaBootstrap = bridge.Root + "/bootstrap"

// has tells whether a function of contract lambda has a file.
type has func(name string) bool

// check refuses options that do not fit each other.
func (o *Options) check() error {
	switch o.Contract {
	case "", image.ContractLambda:
	case image.ContractHTTP, image.ContractStdio:
		if o.Handler != "" || o.Runtime != "" {
			return fmt.Errorf("--handler and --runtime are for contract lambda, not %s", o.Contract)
		}
	default:
		return fmt.Errorf("contract %q: use http, stdio or lambda", o.Contract)
	}
	if o.Runtime != "" {
		if _, _, ok := bridge.Find(o.Runtime); !ok {
			return fmt.Errorf("runtime %q: this version has %s", o.Runtime, bridge.Names)
		}
	}
	return nil
}

// onto has options win over what unifaas.yaml says.
func (o *Options) onto(name string, c *config) error {
	if o.Contract != "" {
		c.Contract = o.Contract
	}
	if o.Handler != "" {
		c.Handler = o.Handler
	}
	if o.Runtime != "" {
		c.Runtime = o.Runtime
	}
	if c.Contract != image.ContractLambda && (c.Handler != "" || c.Runtime != "") {
		return fmt.Errorf("%s: handler and runtime are those of contract lambda: add contract: lambda", name)
	}
	return nil
}

// inFolder looks for files in a folder of this machine.
func inFolder(dir string) has {
	return func(name string) bool {
		fi, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		return err == nil && fi.Mode().IsRegular()
	}
}

// lambda completes a configuration: who runs the function, and on which base.
func (m *machine) lambda(name string, c *config, files has) error {
	c.Env = maps.Clone(c.Env)
	if c.Env == nil {
		c.Env = map[string]scalar{}
	}
	if !path.IsAbs(c.Handler) && c.Handler != "" && path.Clean(c.Handler) != c.Handler || strings.ContainsRune(c.Handler, 0) || path.IsAbs(c.Handler) {
		return fmt.Errorf("%s: handler %q is not of the form FILE.FUNCTION", name, c.Handler)
	}
	if len(c.Command) > 0 {
		if c.Runtime != "" && c.Runtime != bridge.Provided {
			return fmt.Errorf("%s: it has both a command and runtime %s: leave out one", name, c.Runtime)
		}
		c.Env["_HANDLER"] = scalar(c.Handler)
		return nil
	}
	r, provided, known := bridge.Find(c.Runtime)
	switch {
	case c.Runtime != "" && !known:
		return fmt.Errorf("%s: runtime %q: this version has %s", name, c.Runtime, bridge.Names)
	case provided || c.Runtime == "" && files("bootstrap"):
		if !files("bootstrap") {
			return fmt.Errorf("%s: it has no file bootstrap, which runtime %s starts", name, c.Runtime)
		}
		c.Command = command{lambdaBootstrap}
		if c.Handler == "" {
			c.Handler = "bootstrap"
		}
	case known:
		if c.Handler == "" {
			c.Handler = r.Default
		}
		if !r.Has(c.Handler, files) {
			return fmt.Errorf("%s: handler %s: there is no such file, with %s at its end", name, c.Handler, strings.Join(r.Endings, " or "))
		}
		c.runtime = &r
	default:
		found, handler, ok := bridge.Guess(c.Handler, files)
		if !ok && c.Handler == "" {
			return fmt.Errorf("%s: it has neither bootstrap nor lambda_function.py nor index.js: say with --handler FILE.FUNCTION what is called", name)
		}
		if !ok {
			return fmt.Errorf("%s: handler %s: there is no such file, with .py, .js, .mjs or .cjs at its end", name, c.Handler)
		}
		c.runtime, c.Handler = &found, handler
	}
	if c.runtime != nil {
		if c.Base != "" && c.Base != c.runtime.Base {
			return fmt.Errorf("%s: base %s does not have the runtime of handler %s: leave it out, or say %s", name, c.Base, c.Handler, c.runtime.Base)
		}
		c.Base, c.Command = c.runtime.Base, c.runtime.Command
	}
	c.Env["_HANDLER"] = scalar(c.Handler)
	return nil
}

// newLambda is the configuration of what has no unifaas.yaml.
func (m *machine) newLambda() *config {
	return &config{Contract: image.ContractLambda, Handler: m.opts.Handler, Runtime: m.opts.Runtime, Workdir: bridge.Root}
}

// lambdaFolder takes a folder for what a zip file of AWS has in it.
func (m *machine) lambdaFolder(ctx context.Context, dir string) ([]*tree.Tree, image.Manifest, error) {
	c := m.newLambda()
	if err := m.lambda(dir, c, inFolder(dir)); err != nil {
		return nil, image.Manifest{}, err
	}
	start, err := head(filepath.Join(dir, "bootstrap"))
	if err == nil {
		c.scriptBase(start)
	}
	return m.assemble(ctx, dir, dir, c)
}

// lambdaProgram makes a program or script the bootstrap of a function.
func (m *machine) lambdaProgram(ctx context.Context, src string) ([]*tree.Tree, image.Manifest, error) {
	fail := func(err error) ([]*tree.Tree, image.Manifest, error) { return nil, image.Manifest{}, err }
	if m.opts.Runtime != "" {
		if _, provided, _ := bridge.Find(m.opts.Runtime); !provided {
			return fail(fmt.Errorf("%s: a program brings its own runtime: leave out --runtime, or say %s", src, bridge.Provided))
		}
	}
	start, err := head(src)
	if err != nil {
		return fail(err)
	}
	abs, err := filepath.Abs(src)
	if err != nil {
		return fail(fmt.Errorf("%s: %w", src, err))
	}
	c := m.newLambda()
	c.Runtime = bridge.Provided
	c.Files = []entry{{from: abs, to: lambdaBootstrap}}
	if err := m.lambda(src, c, func(name string) bool { return name == "bootstrap" }); err != nil {
		return fail(err)
	}
	c.scriptBase(start)
	return m.assemble(ctx, src, filepath.Dir(abs), c)
}

// scriptBase chooses the base for a bootstrap that is a script.
func (c *config) scriptBase(start string) {
	if c.runtime != nil || c.Base != "" || !strings.HasPrefix(start, "#!") {
		return
	}
	words, err := shebang("bootstrap", start)
	if err != nil {
		return // it is refused when its start is looked for
	}
	interpreter := words[0]
	if path.Base(interpreter) == "env" {
		interpreter = envProgram(words)
	}
	c.Base = interpreterBase(interpreter)
}

// lambdaContainer adds the bridge to a container image, which brings its own runtime.
func (o *Options) lambdaContainer(name string, t *tree.Tree, man *image.Manifest) (*tree.Tree, error) {
	if o.Runtime != "" {
		return nil, fmt.Errorf("%s: a container image brings its own runtime: leave out --runtime", name)
	}
	if o.Handler != "" {
		man.Env = append(man.Env, "_HANDLER="+o.Handler)
	}
	man.Port = 0 // the bridge listens there, not the image's program
	top := tree.New(t)
	if err := putBridge(top, man, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return top, nil
}

// putBridge has an image start the bridge, which starts what the image would have started.
func putBridge(t *tree.Tree, man *image.Manifest, r *bridge.Runtime) error {
	files := []bridge.File{bridge.Bridge()}
	if r != nil {
		files = append(files, r.File)
	}
	for _, f := range files {
		if _, err := t.Put(f.Path, tree.Bytes(0o755, f.Data)); err != nil {
			return err
		}
	}
	if n, _, err := t.Lookup(bridge.Root); err != nil || !n.Mode.IsDir() {
		if _, err := t.Put(bridge.Root, tree.Dir(0o755)); err != nil {
			return err
		}
	}
	man.Args = bridge.Args(man.Program, man.Args)
	man.Program, man.Contract = bridge.Program, image.ContractLambda
	return nil
}
