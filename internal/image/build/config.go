// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/bridge"
	"unifaas.dev/internal/image/tree"
)

// ConfigFile is what a folder has to have to be a source.
const ConfigFile = "unifaas.yaml"

// config is the contents of unifaas.yaml.
type config struct {
	Build    buildCommand      `yaml:"build"`
	Base     string            `yaml:"base"`
	Packages []string          `yaml:"packages"`
	Files    []entry           `yaml:"files"`
	Command  command           `yaml:"command"`
	Env      map[string]scalar `yaml:"env"`
	Contract string            `yaml:"contract"`
	Port     int               `yaml:"port"`
	User     scalar            `yaml:"user"`
	Workdir  string            `yaml:"workdir"`
	Handler  string            `yaml:"handler"` // of contract lambda
	Runtime  string            `yaml:"runtime"`

	put     func(*tree.Tree) error // instead of Files
	runtime *bridge.Runtime        // that the image carries
}

// entry is one of files: a path, or from: to.
type entry struct {
	from, to string
	line     int
}

func (e *entry) UnmarshalYAML(n *yaml.Node) error {
	e.line = n.Line
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		e.from = n.Value
		return nil
	case n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Kind == yaml.ScalarNode && n.Content[1].Kind == yaml.ScalarNode && n.Content[1].Tag == "!!str":
		e.from, e.to = n.Content[0].Value, n.Content[1].Value
		if e.to != "" {
			return nil
		}
	}
	return fmt.Errorf("line %d: each of files is a path, or FROM: TO", n.Line)
}

// command is a list of words, or a line without anything that a shell would have to explain.
type command []string

func (c *command) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		var words []scalar
		if err := n.Decode(&words); err != nil {
			return err
		}
		for _, w := range words {
			*c = append(*c, string(w))
		}
		return nil
	}
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: command is a list of words", n.Line)
	}
	if strings.ContainsAny(n.Value, "\"'\\$`|&;<>()*?[]{}~#\n") {
		return fmt.Errorf("line %d: write command as a list of words, like [sh, -c, %q]: no shell reads it", n.Line, n.Value)
	}
	*c = strings.Fields(n.Value)
	return nil
}

// scalar is a value as it is written: 1.10 stays 1.10.
type scalar string

func (s *scalar) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: this is one value", n.Line)
	}
	*s = scalar(n.Value)
	return nil
}

var (
	unknownKey = regexp.MustCompile(`^line (\d+): field (.*) not found in type .*$`)
	atLine     = regexp.MustCompile(`^line (\d+): (.*)$`)
)

// parseConfig reads unifaas.yaml. Errors start with the name and the line.
func parseConfig(name string, text []byte) (*config, error) {
	var c config
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return nil, configError(name, err)
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: a second document, or something after the first", name)
	}
	return &c, c.check(name)
}

func configError(name string, err error) error {
	text := err.Error()
	var te *yaml.TypeError
	if errors.As(err, &te) && len(te.Errors) > 0 {
		text = te.Errors[0]
	}
	text, _, _ = strings.Cut(strings.TrimPrefix(text, "yaml: "), "\n")
	if m := unknownKey.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s:%s: unknown key %q: there are build, base, packages, files, command, env, contract, port, user, workdir, handler, runtime", name, m[1], m[2])
	}
	if m := atLine.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s:%s: %s", name, m[1], strings.ReplaceAll(m[2], "!!", ""))
	}
	return fmt.Errorf("%s: %s", name, text)
}

func (c *config) check(name string) error {
	lambda := c.Contract == image.ContractLambda
	if c.Workdir == "" {
		c.Workdir = "/app"
		if lambda {
			c.Workdir = bridge.Root
		}
	}
	switch {
	case !lambda && (c.Handler != "" || c.Runtime != ""):
		return fmt.Errorf("%s: handler and runtime are those of contract lambda", name)
	case lambda && len(c.Command) == 0:
	case len(c.Command) == 0 || c.Command[0] == "":
		return fmt.Errorf("%s: it has no command: say which program is started, like command: [python3, app.py]", name)
	case !path.IsAbs(c.Workdir):
		return fmt.Errorf("%s: workdir %q is no absolute path", name, c.Workdir)
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("%s: port %d, choose from 1 to 65535", name, c.Port)
	}
	c.Workdir = path.Clean(c.Workdir)
	switch c.Contract {
	case "", image.ContractHTTP, image.ContractStdio, image.ContractLambda:
	default:
		return fmt.Errorf("%s: contract %q: use http, stdio or lambda", name, c.Contract)
	}
	for k, v := range c.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(string(v), 0) {
			return fmt.Errorf("%s: environment variable %q: a name has no '=', and neither name nor value a NUL byte", name, k)
		}
	}
	return nil
}
