// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"unifaas.dev/internal/testkit"
)

// TestMain lets the scripts run this test binary as the command unifaas.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"unifaas": main})
}

func TestScripts(t *testing.T) {
	testkit.NeedKVM(t)
	testkit.NeedTool(t, "gcc")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Cmds:                nodeCmds(),
		Setup: func(e *testscript.Env) error {
			e.Setenv("ROOT", testkit.Root(t))
			return nodeEnv(e)
		},
	})
}
