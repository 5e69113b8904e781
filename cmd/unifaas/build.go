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
	"unifaas.dev/internal/image/build"
	"unifaas.dev/internal/units"
)

func newBuildCmd() *cobra.Command {
	var name, data, size string
	var out outputFlag
	cmd := &cobra.Command{
		Use:   "build SOURCE -t NAME",
		Short: "Make an image of a program, a folder or a container image",
		Long: `Make an image and keep it in the data folder, where a node that uses the same folder finds it by name.

SOURCE is one of
  an ELF program for x86-64: its loader and libraries come along
  a script: so do its interpreter and what that needs
  a folder with unifaas.yaml, which says what the image consists of
  an OCI layout, or an archive of docker save, podman save or skopeo
  a reference to an image in a registry, for linux/amd64

An image is one or more read-only EROFS file systems; the same source gives the same image.`,
		Example: `  unifaas build ./thumbnail -t thumbnail
  unifaas build examples/python-hello -t python-hello
  unifaas build alpine:3.20 -t alpine
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
			o, err := buildOptions(size)
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
	addBuildFlags(f, &size)
	f.StringVar(&data, "data", "", "data `FOLDER` (default /var/lib/unifaas for root, else ~/.local/share/unifaas)")
	out.add(cmd)
	return cmd
}

func addBuildFlags(f *pflag.FlagSet, size *string) {
	f.StringVar(size, "max-size", "8G", "bytes that a container image may unpack to")
}

// buildOptions are what building takes from the command line and the environment.
func buildOptions(size string) (build.Options, error) {
	n, err := units.ParseBytes(size)
	if err != nil || n <= 0 {
		return build.Options{}, usagef("--max-size %q: give a size like 8G", size)
	}
	return build.Options{MaxSize: n, LibraryPath: filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))}, nil
}

func layersText(m image.Manifest) string {
	if len(m.Layers) == 1 {
		return ""
	}
	return fmt.Sprintf(" in %d layers", len(m.Layers))
}
