// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/basicauth"
)

func newLoginCmd() *cobra.Command {
	var g gatewayFlag
	var k basicauth.Credentials
	var stdin, forget bool
	cmd := &cobra.Command{
		Use:   "login [flags]",
		Short: "Remember user name and password for a gateway",
		Long: `Try user name and password on a gateway and remember them for the other verbs, in a file that only you can read. A node keeps its own in
auth/basic-auth-user and auth/basic-auth-password of its data folder; on that machine nobody who can read them has to log in.
$UNIFAAS_USER and $UNIFAAS_PASSWORD stand before what is remembered.`,
		Example: `  unifaas login --gateway http://node:8080 --password-stdin < password
  unifaas login --gateway http://node:8080 --forget`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file := loginFile()
			if file == "" {
				return errors.New("no folder to remember it in: HOME is not set: use $UNIFAAS_USER and $UNIFAAS_PASSWORD")
			}
			c, err := g.anonymous()
			if err != nil {
				return err
			}
			if forget {
				if err := c.RememberLogin(file, nil); err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: forgotten\n", c.Base())
				return err
			}
			if stdin == (k.Password != "") {
				return usagef("give --password-stdin or --password")
			}
			if stdin {
				line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 4096)).ReadString('\n')
				if k.Password = strings.TrimRight(line, "\r\n"); k.Password == "" {
					return usagef("no password came on standard input (%v)", err)
				}
			}
			c.SetCredentials(&k)
			if _, err := c.Namespaces(cmd.Context()); err != nil {
				return err
			}
			if err := c.RememberLogin(file, &k); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: logged in as %s\n", c.Base(), k.User)
			return err
		},
	}
	g.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&k.User, "username", "u", "admin", "`NAME` of the user")
	f.StringVarP(&k.Password, "password", "p", "", "the `PASSWORD`: others may see it in the list of processes")
	f.BoolVarP(&stdin, "password-stdin", "s", false, "read the password from standard input")
	f.BoolVar(&forget, "forget", false, "forget what is remembered")
	return cmd
}
