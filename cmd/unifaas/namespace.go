// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/gateway/api"
)

func newNamespaceCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "namespace",
		Aliases: []string{"ns", "namespaces"},
		Short:   "List, make, change and remove namespaces",
		Long: `Namespaces keep functions and secrets of the same names apart. Function NAME of namespace NS is called NAME.NS everywhere; those of
namespace default go by their name alone.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNamespaceLsCmd(), newNamespaceSetCmd(false), newNamespaceSetCmd(true), newNamespaceRmCmd())
	return cmd
}

func newNamespaceLsCmd() *cobra.Command {
	var g gatewayFlag
	var o outputFlag
	cmd := &cobra.Command{
		Use:     "ls [flags]",
		Aliases: []string{"list"},
		Short:   "List namespaces",
		Example: `  unifaas namespace ls -o json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := o.json()
			if err != nil {
				return err
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			names, err := c.Namespaces(cmd.Context())
			if err != nil {
				return err
			}
			list := []api.FunctionNamespace{}
			for _, name := range names {
				ns, err := c.Namespace(cmd.Context(), name)
				if err != nil {
					return err
				}
				list = append(list, ns)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			t := newTable(cmd.OutOrStdout(), "NAME", "LABELS", "ANNOTATIONS")
			for _, ns := range list {
				t.row(ns.Name, len(ns.Labels), len(ns.Annotations))
			}
			return t.flush()
		},
	}
	g.add(cmd)
	o.add(cmd)
	return cmd
}

// newNamespaceSetCmd is create, or update.
func newNamespaceSetCmd(update bool) *cobra.Command {
	var g gatewayFlag
	var labels, annotations []string
	cmd := &cobra.Command{
		Use:     "create NAME [flags]",
		Short:   "Make a namespace",
		Example: `  unifaas namespace create dev --label team=web`,
		Args:    cobra.ExactArgs(1),
	}
	if update {
		cmd.Use, cmd.Short = "update NAME [flags]", "Replace the labels and annotations of a namespace"
		cmd.Example = `  unifaas namespace update dev --label team=shop`
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n := api.FunctionNamespace{Name: args[0]}
		var err error
		if n.Labels, err = pairs("--label", labels); err != nil {
			return err
		}
		if n.Annotations, err = pairs("--annotation", annotations); err != nil {
			return err
		}
		c, err := g.client()
		if err != nil {
			return err
		}
		what, send := "created", c.CreateNamespace
		if update {
			what, send = "updated", c.UpdateNamespace
		}
		if err := send(cmd.Context(), n); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", n.Name, what)
		return err
	}
	g.add(cmd)
	cmd.Flags().StringArrayVarP(&labels, "label", "l", nil, "label `K=V`; may be repeated")
	cmd.Flags().StringArrayVar(&annotations, "annotation", nil, "annotation `K=V`; may be repeated")
	return cmd
}

// pairs reads options of the form K=V.
func pairs(option string, list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	m := map[string]string{}
	for _, kv := range list {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return nil, usagef("%s: %q is not of the form K=V", option, kv)
		}
		m[k] = v
	}
	return m, nil
}

func newNamespaceRmCmd() *cobra.Command {
	var g gatewayFlag
	cmd := &cobra.Command{
		Use:     "rm NAME... [flags]",
		Aliases: []string{"remove", "delete"},
		Short:   "Remove namespaces that have no functions and no secrets",
		Example: `  unifaas namespace rm dev`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			var failed []error
			for _, name := range args {
				if err := c.RemoveNamespace(cmd.Context(), name); err != nil {
					failed = append(failed, err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: removed\n", name)
			}
			return errors.Join(failed...)
		},
	}
	g.add(cmd)
	return cmd
}
