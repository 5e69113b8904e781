// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/client"
)

// gatewayFlag is --gateway of the verbs that talk to a node.
type gatewayFlag struct{ address string }

func (g *gatewayFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&g.address, "gateway", "", "`ADDRESS` of the gateway (default $"+client.AddressEnv+", else "+client.DefaultAddress+")")
}

func (g *gatewayFlag) client() (*client.Client, error) {
	c, err := client.New(cmp.Or(g.address, os.Getenv(client.AddressEnv), client.DefaultAddress))
	if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

// complete offers the names of functions, for the first argument or for all.
func (g *gatewayFlag) complete(all bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		c, err := g.client()
		if err != nil || len(args) > 0 && !all {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list, err := c.Functions(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, f := range list {
			if strings.HasPrefix(f.Name, prefix) {
				names = append(names, f.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
