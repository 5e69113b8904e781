// SPDX-License-Identifier: Apache-2.0

// Package stack reads stack.yml, the file in which users of OpenFaaS say which functions there are to be. It makes deployments of it; sending
// them is the affair of who asks.
package stack

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"unifaas.dev/internal/gateway/api"
)

const maxFile = 1 << 20

// Stack is what a file says.
type Stack struct {
	Gateway   string // address; empty: it does not say
	Functions []Function
	Ignored   []string // keys that mean nothing here, as FUNCTION.KEY
}

// Function is one function of it.
type Function struct {
	api.FunctionDeployment
	Source string // folder with unifaas.yaml, which the image is to be made of; empty: Image is an image already
}

// file is the form of stack.yml. What faas-cli needs to build images and nobody needs to deploy them is not looked at.
type file struct {
	Version  string `yaml:"version"`
	Provider struct {
		Name    string `yaml:"name"`
		Gateway string `yaml:"gateway"`
	} `yaml:"provider"`
	Functions map[string]function `yaml:"functions"`
}

type function struct {
	Lang            string                 `yaml:"lang"`
	Handler         string                 `yaml:"handler"`
	Image           string                 `yaml:"image"`
	Namespace       string                 `yaml:"namespace"`
	FProcess        string                 `yaml:"fprocess"`
	Environment     map[string]string      `yaml:"environment"`
	EnvironmentFile []string               `yaml:"environment_file"`
	Secrets         []string               `yaml:"secrets"`
	Constraints     []string               `yaml:"constraints"`
	Labels          map[string]string      `yaml:"labels"`
	Annotations     map[string]string      `yaml:"annotations"`
	Limits          *api.FunctionResources `yaml:"limits"`
	Requests        *api.FunctionResources `yaml:"requests"`
	ReadOnlyRoot    bool                   `yaml:"readonly_root_filesystem"`
	Others          map[string]any         `yaml:",inline"`
}

// Of building: faas-cli's affair.
var building = []string{"skip_build", "build_args", "build_options", "build_secrets", "copy", "platforms", "publish", "template"}

// Read reads a file. Functions come by name; with names only those.
func Read(path string, names []string) (*Stack, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	expanded, err := expand(text, os.LookupEnv, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var f file
	if err := yaml.Unmarshal([]byte(expanded), &f); err != nil {
		return nil, fmt.Errorf("%s: %s", path, strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " "))
	}
	switch f.Provider.Name {
	case "openfaas", "faas", "":
	default:
		return nil, fmt.Errorf("%s: provider %.40q: only openfaas is known", path, f.Provider.Name)
	}
	if f.Version != "" && f.Version != "1.0" {
		return nil, fmt.Errorf("%s: version %.40q: only 1.0 is known", path, f.Version)
	}
	if len(f.Functions) == 0 {
		return nil, fmt.Errorf("%s: there are no functions in it", path)
	}
	for _, n := range names {
		if _, ok := f.Functions[n]; !ok {
			return nil, fmt.Errorf("%s: there is no function %.80s in it", path, n)
		}
	}
	s := &Stack{Gateway: f.Provider.Gateway}
	for _, name := range slices.Sorted(maps.Keys(f.Functions)) {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		q := f.Functions[name]
		d, err := q.deployment(filepath.Dir(path), name)
		if err != nil {
			return nil, fmt.Errorf("%s: function %.80s: %w", path, name, err)
		}
		s.Functions = append(s.Functions, d)
		for _, k := range slices.Sorted(maps.Keys(q.Others)) {
			if !slices.Contains(building, k) {
				s.Ignored = append(s.Ignored, name+"."+k)
			}
		}
	}
	return s, nil
}

func read(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return string(text), err
}

// deployment is what the function is to be. dir is where the file lies.
func (q *function) deployment(dir, name string) (f Function, err error) {
	env := maps.Clone(q.Environment)
	for _, file := range q.EnvironmentFile {
		more, err := environmentFile(dir, file)
		if err != nil {
			return f, err
		}
		if env == nil {
			env = map[string]string{}
		}
		maps.Copy(env, more) // files count more, as with faas-cli
	}
	f.FunctionDeployment = api.FunctionDeployment{
		Service: name, Image: q.Image, Namespace: q.Namespace, EnvProcess: q.FProcess, EnvVars: env, Secrets: q.Secrets, Constraints: q.Constraints, Labels: q.Labels,
		Annotations: q.Annotations, Limits: q.Limits, Requests: q.Requests, ReadOnlyRoot: q.ReadOnlyRoot,
	}
	if q.Image != "" {
		return f, nil
	}
	if q.Handler == "" {
		return f, errors.New("it has neither image nor handler")
	}
	f.Source = q.Handler
	if !filepath.IsAbs(f.Source) {
		f.Source = filepath.Join(dir, f.Source)
	}
	if _, err := os.Stat(filepath.Join(f.Source, "unifaas.yaml")); err != nil {
		return f, fmt.Errorf("it has no image, and its handler %s no unifaas.yaml to make one of: build and push one with faas-cli, or write that file (docs/images.md)", cmp.Or(q.Handler, "."))
	}
	return f, nil
}

// environmentFile reads one that lies where the stack file does, or where the caller is.
func environmentFile(dir, file string) (map[string]string, error) {
	path := file
	if !filepath.IsAbs(file) {
		path = filepath.Join(dir, file)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			path = file
		}
	}
	text, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("environment_file: %w", err)
	}
	if text, err = expand(text, os.LookupEnv, 0); err != nil {
		return nil, fmt.Errorf("environment_file %s: %w", path, err)
	}
	var f struct {
		Environment map[string]string `yaml:"environment"`
	}
	if err := yaml.Unmarshal([]byte(text), &f); err != nil {
		return nil, fmt.Errorf("environment_file %s: %s", path, strings.Join(strings.Fields(err.Error()), " "))
	}
	return f.Environment, nil
}
