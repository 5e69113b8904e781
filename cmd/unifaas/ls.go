// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/units"
)

func newLsCmd() *cobra.Command {
	var g gatewayFlag
	var o outputFlag
	namespace := ""
	cmd := &cobra.Command{
		Use:     "ls [flags]",
		Aliases: []string{"list"},
		Short:   "List functions",
		Example: `  unifaas ls
  unifaas ls -o json | jq -r '.[].name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := o.json()
			if err != nil {
				return err
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			var list []api.Function
			if namespace == "" {
				list, err = c.Functions(cmd.Context())
			} else {
				list, err = c.FunctionsIn(cmd.Context(), namespace)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			t := newTable(cmd.OutOrStdout(), "NAME", "IMAGE", "REVISION", "INSTANCES", "INVOCATIONS", "AGE", "URL")
			for _, f := range list {
				t.row(f.Name, imageName(f.Revision), f.Revision.Number, fmt.Sprintf("%d/%d", f.Ready, f.Max), f.Invocations, units.Since(time.Since(f.Created)), f.URL)
			}
			return t.flush()
		},
	}
	g.add(cmd)
	o.add(cmd)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "only those of this `NAMESPACE`")
	return cmd
}

// imageName is what an image was called, or the start of its digest.
func imageName(r api.Revision) string {
	name := cmp.Or(r.Image, r.Digest)
	if hex, ok := strings.CutPrefix(name, "sha256:"); ok && len(hex) > 12 {
		return hex[:12]
	}
	return name
}
