// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/testkit"
)

// TestDashboard: in a real browser that knows the password, a program is uploaded, becomes a function, runs in a unikernel, and goes again.
func TestDashboard(t *testing.T) {
	testkit.NeedKVM(t)
	chromium := testkit.NeedTool(t, "chromium")
	program := testkit.Built(t, "build/examples/c-hello", "examples")
	auth := t.TempDir()
	for name, text := range map[string]string{"basic-auth-user": "ada", "basic-auth-password": "p#ss w:rd"} {
		if err := os.WriteFile(filepath.Join(auth, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, err := childnode.Start(t.Context(), testkit.Unifaas(t), "", "--basic-auth", auth)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	for _, path := range []string{"/ui", "/ui/", "/ui/static/app.js", "/ui/functions/x/logs/stream"} {
		resp, err := http.Get("http://" + n.Addr + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a password: %s", path, resp.Status)
		}
	}

	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute))
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	defer cancel()
	ctx, end := chromedp.NewContext(alloc)
	defer end()
	do := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := chromedp.Do(limited, actions...); err != nil {
			t.Fatal(err)
		}
	}
	until := func(condition string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			is, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+condition+")"))
			if err == nil && is {
				return
			}
			if time.Now().After(deadline) {
				seen, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
				t.Fatalf("in vain waited for %s (%v); the page shows:\n%s", condition, err, seen)
			}
		}
	}
	says := func(text string) { t.Helper(); until(fmt.Sprintf("document.body.innerText.includes(%q)", text)) }
	visit := func(path string) { t.Helper(); do(chromedp.Navigate("http://" + n.Addr + path)) }

	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as this context
		t.Fatal(err)
	}
	do(chromedp.Navigate("http://ada:p%23ss%20w%3Ard@" + n.Addr + "/ui/")) // which the browser then sends by itself
	says("Nothing is deployed yet.")
	do(chromedp.Click(chromedp.CSS(".empty.big a")), chromedp.WaitVisible(chromedp.CSS(`input[name="name"]`)),
		chromedp.SendKeys(chromedp.CSS(`input[name="name"]`), "hello"), chromedp.SetUploadFiles(chromedp.CSS(`input[name="file"]`), []string{program}),
		chromedp.Click(chromedp.CSS("form[data-upload] button.primary")))
	until(`location.pathname === "/ui/functions/hello"`)
	until(`document.querySelector("tr.current .state").textContent === "served"`)
	do(chromedp.Click(chromedp.CSS(".tabs a:nth-child(3)")), chromedp.WaitVisible(chromedp.CSS("form[data-result]")), chromedp.Click(chromedp.CSS("form[data-result] button.primary")))
	says("Hello from a unikernel")
	says("Where the time went")
	visit("/ui/functions/hello/logs")
	says("snapshot taken")
	visit("/ui/functions/hello")
	until(`document.querySelector("#calls rect") && document.querySelector("#live-count")`)
	visit("/ui/node")
	says("Functions can run here.")
	until(`[...document.querySelectorAll("#doctor th")].some(e => e.textContent === "virtual machine")`)
	visit("/ui/functions/hello/configure")
	do(chromedp.Click(chromedp.CSS(".danger summary")), chromedp.Click(chromedp.CSS(`button[value="remove"]`)))
	says("Nothing is deployed yet.")
}
