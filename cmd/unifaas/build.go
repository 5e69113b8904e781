// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"unifaas.dev/internal/datadir"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/bridge"
	"unifaas.dev/internal/image/build"
	"unifaas.dev/internal/units"
)

func newBuildCmd() *cobra.Command {
	var name, data string
	var opts buildFlags
	var out outputFlag
	cmd := &cobra.Command{
		Use:   "build SOURCE -t NAME",
		Short: "Make an image of a program, a folder or a container image",
		Long: `Make an image and keep it in the data folder, where a node that uses the same folder finds it by name.

SOURCE is one of
  an ELF program for x86-64: its loader and libraries come along
  a script: so do its interpreter and what that needs
  a folder with unifaas.yaml, which says what the image consists of
  a zip file for AWS Lambda, or with --contract lambda any of the others: a program or folder that AWS would take
  an OCI layout, or an archive of docker save, podman save or skopeo
  a reference to an image in a registry, for linux/amd64

An image is one or more read-only EROFS file systems; the same source gives the same image.`,
		Example: `  unifaas build ./thumbnail -t thumbnail
  unifaas build examples/python-hello -t python-hello
  unifaas build alpine:3.20 -t alpine
  unifaas build function.zip -t orders --handler app.handler --runtime python3.11
  unifaas deploy thumbnail --image thumbnail`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			if name == "" {
				return usagef("give the image a name with -t NAME")
			}
			if err := image.CheckName(name); err != nil {
				return &usageError{err}
			}
			dir, err := datadir.Resolve(data)
			if err != nil {
				return err
			}
			store, err := image.OpenStore(datadir.Images(dir))
			if err != nil {
				return err
			}
			o, err := opts.options()
			if err != nil {
				return err
			}
			m, err := build.Image(cmd.Context(), store, args[0], name, o)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), struct {
					Name   string `json:"name"`
					Digest string `json:"digest"`
					Size   int64  `json:"size"`
					image.Manifest
				}{name, m.Digest, m.Size(), m})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s%s\n", name, m.Digest, units.HumanBytes(m.Size()), layersText(m))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&name, "tag", "t", "", "`NAME` of the image")
	opts.add(f)
	f.StringVar(&opts.contract, "contract", "", "how the program will be called: http, stdio or lambda (default: what the source says, or http)")
	f.StringVar(&data, "data", "", "data `FOLDER` (default /var/lib/unifaas for root, else ~/.local/share/unifaas)")
	out.add(cmd)
	return cmd
}

// buildFlags are what building takes from the command line.
type buildFlags struct {
	size, contract, handler, runtime string
}

func (b *buildFlags) add(f *pflag.FlagSet) {
	f.StringVar(&b.size, "max-size", "8G", "bytes that a container image or zip file may unpack to")
	f.StringVar(&b.handler, "handler", "", "contract lambda: `FILE.FUNCTION` that is called (default lambda_function.lambda_handler, index.handler, or what a file bootstrap does)")
	f.StringVar(&b.runtime, "runtime", "", "contract lambda: "+bridge.Names+" (default by the handler's file)")
}

// options are what building takes from the command line and the environment.
func (b *buildFlags) options() (build.Options, error) {
	n, err := units.ParseBytes(b.size)
	if err != nil || n <= 0 {
		return build.Options{}, usagef("--max-size %q: give a size like 8G", b.size)
	}
	return build.Options{MaxSize: n, Output: os.Stderr, LibraryPath: filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")), Contract: b.contract, Handler: b.handler, Runtime: b.runtime}, nil
}

func layersText(m image.Manifest) string {
	if len(m.Layers) == 1 {
		return ""
	}
	return fmt.Sprintf(" in %d layers", len(m.Layers))
}
