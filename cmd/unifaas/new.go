// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/project"
)

func newNewCmd() *cobra.Command {
	var lang string
	cmd := &cobra.Command{
		Use:   "new --lang LANGUAGE NAME",
		Short: "Write a project that is a function",
		Long: `Write a folder with a small function, a test of it, and the unifaas.yaml that says what it consists of. 'unifaas deploy' takes the folder as it is.

LANGUAGE is one of ` + strings.Join(project.Languages(), ", ") + `. NAME is the folder; its last part is the function's name.`,
		Example: `  unifaas new --lang go hello
  unifaas deploy hello ./hello
  unifaas dev ./hello                # deploys it again at every change`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if lang == "" {
				return usagef("choose a language with --lang: %s", strings.Join(project.Languages(), ", "))
			}
			if err := project.Check(lang); err != nil {
				return &usageError{err}
			}
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			name := filepath.Base(dir)
			if err := control.CheckName(name); err != nil {
				return &usageError{err}
			}
			files, err := project.New(args[0], lang)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, f := range files {
				fmt.Fprintln(out, filepath.Join(args[0], f))
			}
			_, err = fmt.Fprintf(out, "deploy it: unifaas deploy %s %s\n", name, sourceWord(args[0]))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&lang, "lang", "", "`LANGUAGE`: "+strings.Join(project.Languages(), ", "))
	cmd.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions(project.Languages(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// sourceWord writes a folder so that it does not pass for a reference to an image.
func sourceWord(dir string) string {
	if filepath.IsAbs(dir) || strings.HasPrefix(dir, ".") {
		return dir
	}
	return "./" + dir
}
