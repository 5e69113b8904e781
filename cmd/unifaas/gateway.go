// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/datadir"
)

// gatewayFlag is --gateway of the verbs that talk to a node.
type gatewayFlag struct{ address string }

func (g *gatewayFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&g.address, "gateway", "", "`ADDRESS` of the gateway (default $"+client.AddressEnv+", else "+client.DefaultAddress+")")
}

// anonymous is a client without credentials.
func (g *gatewayFlag) anonymous() (*client.Client, error) {
	c, err := client.New(cmp.Or(g.address, os.Getenv(client.AddressEnv), client.DefaultAddress))
	if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

func (g *gatewayFlag) client() (*client.Client, error) {
	c, err := g.anonymous()
	if err != nil {
		return nil, err
	}
	local := ""
	if data, err := datadir.Default(); err == nil {
		local = datadir.Auth(data)
	}
	k, err := c.FindCredentials(loginFile(), local)
	if err != nil {
		return nil, err
	}
	c.SetCredentials(k)
	return c, nil
}

// loginFile is where logins are remembered; empty: this user has no folder for it.
func loginFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "unifaas", "logins.json")
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
