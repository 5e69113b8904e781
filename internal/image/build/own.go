// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// buildCommand is a list of words, or a line for the shell.
type buildCommand []string

func (b *buildCommand) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		if strings.TrimSpace(n.Value) != "" {
			*b = buildCommand{"sh", "-c", n.Value}
		}
		return nil
	}
	var words []scalar
	if n.Kind != yaml.SequenceNode || n.Decode(&words) != nil {
		return fmt.Errorf("line %d: build is a line for the shell, or a list of words", n.Line)
	}
	for _, w := range words {
		*b = append(*b, string(w))
	}
	return nil
}

// lastWait is how long what a build leaves behind may hold its output.
const lastWait = 5 * time.Second

// own runs a folder's own build, in the folder.
func (m *machine) own(ctx context.Context, name, dir string, b buildCommand) error {
	if len(b) == 0 {
		return nil
	}
	if m.opts.Output == nil {
		return fmt.Errorf("%s: it has a build of its own, which is not run here", name)
	}
	cmd := exec.CommandContext(ctx, b[0], b[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = dir, m.opts.Output, m.opts.Output, lastWait
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil: // something in the background had the output open
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &exit):
		return fmt.Errorf("%s: build failed: %v", name, exit)
	}
	return fmt.Errorf("%s: build: %w", name, err)
}
