// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/datadir"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/units"
)

func newBuildCmd() *cobra.Command {
	var name, data string
	var out outputFlag
	cmd := &cobra.Command{
		Use:   "build SOURCE -t NAME",
		Short: "Make an image of a program",
		Long: `Make an image of a program and keep it in the data folder, where a node that uses the same folder finds it by name.

SOURCE is a static x86-64 ELF file. An image is a read-only EROFS file system; the same program gives the same image.`,
		Example: `  unifaas build ./thumbnail -t thumbnail
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
			m, err := store.Import(cmd.Context(), args[0], name)
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
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s\n", name, m.Digest, units.HumanBytes(m.Size()))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&name, "tag", "t", "", "`NAME` of the image")
	f.StringVar(&data, "data", "", "data `FOLDER` (default /var/lib/unifaas for root, else ~/.local/share/unifaas)")
	out.add(cmd)
	return cmd
}
