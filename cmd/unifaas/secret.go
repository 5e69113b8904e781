// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/gateway/api"
)

// secretFlags are what all verbs of secrets take.
type secretFlags struct {
	gatewayFlag
	namespace string
}

func (s *secretFlags) add(cmd *cobra.Command) {
	s.gatewayFlag.add(cmd)
	cmd.Flags().StringVarP(&s.namespace, "namespace", "n", "", "`NAMESPACE` of the secret (default "+control.DefaultNamespace+")")
}

func newSecretCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "secret",
		Aliases: []string{"secrets"},
		Short:   "List, make, change and remove secrets of functions",
		Long: `A function that is deployed with --secret NAME finds its value in /var/openfaas/secrets/NAME and /run/secrets/NAME. Values are kept
encrypted and never shown. A changed one comes with new instances.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSecretLsCmd(), newSecretSetCmd(false), newSecretSetCmd(true), newSecretRmCmd())
	return cmd
}

func newSecretLsCmd() *cobra.Command {
	var s secretFlags
	var o outputFlag
	cmd := &cobra.Command{
		Use:     "ls [flags]",
		Aliases: []string{"list"},
		Short:   "List the names of secrets",
		Example: `  unifaas secret ls -n dev`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := o.json()
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			list, err := c.Secrets(cmd.Context(), s.namespace)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			t := newTable(cmd.OutOrStdout(), "NAME", "NAMESPACE")
			for _, s := range list {
				t.row(s.Name, s.Namespace)
			}
			return t.flush()
		},
	}
	s.add(cmd)
	o.add(cmd)
	return cmd
}

// newSecretSetCmd is create, or update.
func newSecretSetCmd(update bool) *cobra.Command {
	var s secretFlags
	var file, literal string
	cmd := &cobra.Command{
		Use:   "create NAME [flags]",
		Short: "Make a secret of what comes from standard input, or of a file",
		Example: `  unifaas secret create token < token.txt
  unifaas secret create key --from-file key.pem -n dev
  unifaas secret create word --from-literal hello     # others may see it in the list of processes`,
		Args: cobra.ExactArgs(1),
	}
	if update {
		cmd.Use, cmd.Short = "update NAME [flags]", "Give a secret another value; functions that use it get new instances"
		cmd.Example = `  unifaas secret update token < token.txt`
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if file != "" && literal != "" {
			return usagef("give --from-file or --from-literal, not both")
		}
		value := []byte(literal)
		if literal == "" {
			var err error
			if value, err = readValue(cmd.InOrStdin(), file); err != nil {
				return err
			}
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		what, send := "created", c.CreateSecret
		if update {
			what, send = "updated", c.UpdateSecret
		}
		if err := send(cmd.Context(), api.FunctionSecret{Name: args[0], Namespace: s.namespace, RawValue: value}); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s in namespace %s\n", args[0], what, cmp.Or(s.namespace, control.DefaultNamespace))
		return err
	}
	s.add(cmd)
	cmd.Flags().StringVar(&file, "from-file", "", "`FILE` with the value (default standard input)")
	cmd.Flags().StringVar(&literal, "from-literal", "", "the `VALUE` itself")
	return cmd
}

// readValue reads a secret whole: byte for byte, with the line end that a file may have.
func readValue(in io.Reader, file string) ([]byte, error) {
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	value, err := io.ReadAll(io.LimitReader(in, control.MaxSecret+1))
	if err == nil && len(value) > control.MaxSecret {
		err = fmt.Errorf("the value is larger than %d bytes", control.MaxSecret)
	}
	return value, err
}

func newSecretRmCmd() *cobra.Command {
	var s secretFlags
	cmd := &cobra.Command{
		Use:     "rm NAME... [flags]",
		Aliases: []string{"remove", "delete"},
		Short:   "Take secrets away; functions that need them can start no new instances",
		Example: `  unifaas secret rm token`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			var failed []error
			for _, name := range args {
				if err := c.RemoveSecret(cmd.Context(), s.namespace, name); err != nil {
					failed = append(failed, err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: removed\n", name)
			}
			return errors.Join(failed...)
		},
	}
	s.add(cmd)
	return cmd
}
