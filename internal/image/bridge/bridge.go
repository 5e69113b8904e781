// SPDX-License-Identifier: Apache-2.0

// Package bridge holds what images of contract lambda carry: the program that serves the Lambda Runtime API inside of an
// instance, and the runtimes for Python and Node.js handlers. It knows nothing of how images are put together. docs/lambda.md says how they work.
package bridge

import (
	_ "embed"
	"strings"
)

var (
	//go:embed build/lambda
	program []byte
	//go:embed runtime/bootstrap.py
	python []byte
	//go:embed runtime/bootstrap.mjs
	node []byte
)

// Paths in images.
const (
	Program = "/usr/lib/unifaas/lambda"
	Root    = "/var/task" // the function's own files: LAMBDA_TASK_ROOT

	pythonRuntime = "/var/runtime/bootstrap.py"
	nodeRuntime   = "/var/runtime/bootstrap.mjs"
)

// File is one file of an image.
type File struct {
	Path string
	Data []byte
}

// Bridge is the program that a lambda image starts.
func Bridge() File { return File{Program, program} }

// Args are its arguments, for a runtime that would be started with args.
func Args(path string, args []string) []string {
	return append([]string{Program, path}, args...)
}

// Runtime is what runs handlers.
type Runtime struct {
	Base    string // of the image
	Command []string
	File    File
	Endings []string // of files with handlers
	Default string   // handler, when nothing names one
}

// Runtimes are those of this version, by the name that users give.
func runtimes() map[string]Runtime {
	return map[string]Runtime{
		"python3.11": {"python3.11", []string{"/usr/bin/python3.11", pythonRuntime}, File{pythonRuntime, python}, []string{".py"}, "lambda_function.lambda_handler"},
		"nodejs20":   {"node20", []string{"/usr/bin/node", nodeRuntime}, File{nodeRuntime, node}, []string{".js", ".mjs", ".cjs"}, "index.handler"},
	}
}

// Names of runtimes, for messages. Provided is one where the function brings its own.
const (
	Names    = "python3.11, nodejs20, provided"
	Provided = "provided"
)

// Find gives the runtime of a name as AWS or this project spells it; provided has none.
func Find(name string) (r Runtime, provided, ok bool) {
	switch name = strings.TrimSuffix(name, ".x"); {
	case name == Provided || strings.HasPrefix(name, "provided."):
		return Runtime{}, true, true
	case name == "node20":
		name = "nodejs20"
	}
	r, ok = runtimes()[name]
	return r, false, ok
}

// Guess finds the runtime whose handler is there: has tells whether the function has a file.
func Guess(handler string, has func(file string) bool) (r Runtime, found string, ok bool) {
	for _, name := range []string{"python3.11", "nodejs20"} {
		r := runtimes()[name]
		h := handler
		if h == "" {
			h = r.Default
		}
		if r.Has(h, has) {
			return r, h, true
		}
	}
	return Runtime{}, "", false
}

// Has reports whether the file of a handler is there.
func (r Runtime) Has(handler string, has func(file string) bool) bool {
	dir, name := "", handler
	if at := strings.LastIndexByte(handler, '/'); at >= 0 {
		dir, name = handler[:at+1], handler[at+1:]
	}
	at := strings.IndexByte(name, '.')
	if r.Base == "python3.11" {
		at = strings.LastIndexByte(name, '.')
	}
	if at <= 0 {
		return false
	}
	file := dir + name[:at]
	if r.Base == "python3.11" {
		file = strings.ReplaceAll(file, ".", "/")
		if has(file + "/__init__.py") {
			return true
		}
	} else if has(file + "/index.js") {
		return true
	}
	for _, e := range r.Endings {
		if has(file + e) {
			return true
		}
	}
	return false
}
