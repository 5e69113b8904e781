// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"unifaas.dev/guest"
	"unifaas.dev/internal/datadir"
	"unifaas.dev/internal/doctor"
	"unifaas.dev/internal/monitor/kvm"
)

func newDoctorCmd() *cobra.Command {
	var data string
	var out outputFlag
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine can run, and why not",
		Long: `Look at this machine and say what UniFaaS can do on it, what not, and what to do about that. Nothing is changed.

The exit code is 1 if functions cannot run here.`,
		Example: `  unifaas doctor
  unifaas doctor -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			dir, _ := datadir.Resolve(data) // none is one of the checks
			m := &kvm.Monitor{}
			defer m.Close()
			r := doctor.Run(doctor.Options{Monitor: m, Libos: guest.Libos(), DataDir: dir})
			if asJSON {
				if err := printJSON(cmd.OutOrStdout(), r); err != nil {
					return err
				}
			} else {
				doctor.Print(cmd.OutOrStdout(), r)
			}
			if !r.OK {
				return exitStatus(exitFailed)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data `FOLDER` that a node would use")
	out.add(cmd)
	return cmd
}
