// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"unifaas.dev/internal/testkit"
)

// waitLimit is for a condition in the browser on a machine that has much else to do.
const waitLimit = time.Minute

// browser is a Chromium, shared by the tests of this file.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := testkit.NeedTool(t, "chromium")
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(waitLimit))
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewContext(alloc)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return ctx
}

// tab is a page in the browser. It fails the test if the page complains about anything or asks anybody else.
type tab struct {
	*testing.T
	ctx context.Context
	url string

	mu      sync.Mutex
	expects string // a complaint that is part of the test
	asked   int    // requests that were seen
}

func open(t *testing.T, browser context.Context, at string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p := &tab{T: t, ctx: ctx, url: at}
	complain := func(what string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.expects == "" || !strings.Contains(what, p.expects) {
			t.Errorf("the browser complains: %s", what)
		}
	}
	err := chromedp.Listen(ctx, func(ev any) {
		switch e := ev.(type) {
		case *cdpruntime.EventExceptionThrown:
			complain(fmt.Sprintf("%+v", e.ExceptionDetails))
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
				complain(e.Entry.Text + " " + e.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, at) {
				complain("request to " + e.Request.URL)
			}
			p.mu.Lock()
			p.asked++
			p.mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.asked == 0 {
			t.Error("nothing was seen of what the browser asked for")
		}
	})
	p.run(chromedp.EmulateViewport(1280, 900))
	return p
}

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, waitLimit)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.lost(err)
	}
}

// lost ends the test with what the page shows.
func (p *tab) lost(why any) {
	p.Helper()
	seen, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	p.Fatalf("%v; the page shows:\n%s", why, seen)
}

// get runs an action that has a result.
func get[T any](p *tab, a chromedp.Action[T]) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, waitLimit)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		p.lost(err)
	}
	return v
}

func call[P any](p *tab, cmd cdp.Command[P, cdp.Empty], params P) {
	p.Helper()
	if _, err := chromedp.Call(p.ctx, cmd, params); err != nil {
		p.Fatal(err)
	}
}

func (p *tab) visit(path string) { p.Helper(); p.run(chromedp.Navigate(p.url + path)) }

// until waits for a condition in JavaScript, through whatever pages come meanwhile.
func (p *tab) until(condition string) {
	p.Helper()
	for deadline := time.Now().Add(waitLimit); ; time.Sleep(20 * time.Millisecond) {
		if is, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+condition+")")); err == nil && is {
			return
		} else if time.Now().After(deadline) {
			p.lost(fmt.Sprintf("in vain waited for %s (%v)", condition, err))
		}
	}
}

func (p *tab) says(text string) {
	p.Helper()
	p.until(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

func eval[T any](p *tab, expression string) T {
	p.Helper()
	return get(p, chromedp.Evaluate[T](expression))
}

// shot keeps a picture for people to look at, where UNIFAAS_SCREENSHOTS names a folder.
func (p *tab) shot(name string) {
	p.Helper()
	dir := os.Getenv("UNIFAAS_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), get(p, chromedp.FullScreenshot(100)), 0o644); err != nil {
		p.Fatal(err)
	}
}

// TestBrowser: the dashboard in a real browser, one for all tests.
func TestBrowser(t *testing.T) {
	b := browser(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"Live": live, "Hostile": hostile, "Logs": tail, "Invoke": invoking, "WithoutScript": withoutScript, "Deploy": deploying, "Change": changing,
		"Look": look, "Keyboard": keyboard,
	} {
		t.Run(name, func(t *testing.T) { test(t, b) })
	}
}

// live: an open page follows what happens, without being loaded again, and what has the focus keeps it.
func live(t *testing.T, b context.Context) {
	g := start(t, program)
	g.deploy("hello")
	p := open(t, b, g.url)
	p.visit("/ui/")
	p.run(chromedp.Focus(chromedp.CSS("#f-hello")), chromedp.Evaluate[chromedp.Void]("window.same = true"))
	for range 3 {
		g.do("GET", "/function/hello", "")
	}
	g.deploy("second")
	p.until(`document.querySelector("#f-second") && document.querySelector("#live .cards div:nth-child(4) dd").textContent === "3"`)
	if !eval[bool](p, `window.same && document.activeElement.id === "f-hello" && document.querySelectorAll("svg.spark").length === 1`) {
		t.Error("the page was loaded again, or the focus is elsewhere")
	}
	p.visit("/ui/functions/hello")
	p.says("3 calls")
	p.run(chromedp.WaitVisible(chromedp.CSS("#calls rect")), chromedp.WaitVisible(chromedp.CSS("#latency polyline")))
	g.do("GET", "/function/hello/fail", "")
	p.run(chromedp.WaitVisible(chromedp.CSS("#calls rect.bar-bad")))
	p.shot("function")
	if err := g.control.Remove(context.Background(), "hello"); err != nil {
		t.Fatal(err)
	}
	p.expects = "404"
	p.says("Function hello is not deployed.")
}

// hostile: what functions print, answer and are called is shown as text.
func hostile(t *testing.T, b context.Context) {
	const evil = `<img src=x onerror="window.evil=1"><script>window.evil=1</script>`
	g := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("X-Evil", evil)
		fmt.Fprint(w, evil)
	})
	g.deploy("hello")
	g.log("hello", "stdout", evil)
	g.post("/ui/functions/hello/configure", "image", "img", "isolation", "reuse", "env", "A="+evil+"</textarea>"+evil)
	p := open(t, b, g.url)
	for _, path := range []string{"/ui/?q=" + url.QueryEscape(evil), "/ui/functions/hello", "/ui/functions/hello/logs", "/ui/functions/hello/logs?text=img&instance=" + url.QueryEscape(`"><`+evil), "/ui/functions/hello/configure"} {
		p.visit(path)
		if strings.Contains(path, "/logs") && !strings.Contains(path, "instance") {
			p.says(evil)
			g.log("hello", "stderr", evil+" again")
			p.says(evil + " again")
		}
		if eval[bool](p, `window.evil === 1 || document.querySelector("main img, main script") !== null`) {
			t.Errorf("%s runs what it was to show", path)
		}
	}
	p.visit("/ui/functions/hello/invoke")
	p.run(chromedp.Click(chromedp.CSS("form[data-result] button.primary")))
	p.says(evil)
	if eval[bool](p, `window.evil === 1 || document.querySelector("main img, main script") !== null`) {
		t.Error("an answer was run instead of shown")
	}
}

// tail: lines come as they are printed, filtered, and again after the log was paused.
func tail(t *testing.T, b context.Context) {
	g := start(t, program)
	g.deploy("hello")
	for n := range 700 {
		g.log("hello", "stdout", fmt.Sprintf("early line %d", n))
	}
	p := open(t, b, g.url)
	p.visit("/ui/functions/hello/logs")
	p.says("early line 699")
	p.until(`document.querySelector("#log").dataset.connected === "yes"`)
	g.log("hello", "stderr", "something went wrong")
	p.says("something went wrong")
	p.until(`document.querySelectorAll("#log li").length === 501 && document.querySelector("#log li.stderr .text").textContent === "something went wrong"`)
	if !eval[bool](p, `(e => e.scrollHeight - e.scrollTop - e.clientHeight < 40)(document.querySelector("#log"))`) {
		t.Error("the end of the log is not in view")
	}
	p.shot("logs")
	p.run(chromedp.Click(chromedp.CSS("#follow")))
	p.until(`document.querySelector("#follow").getAttribute("aria-pressed") === "false" && !document.querySelector("#log").dataset.connected`)
	g.log("hello", "stdout", "while it was paused")
	p.run(chromedp.Click(chromedp.CSS("#follow")))
	p.says("while it was paused")
	p.run(chromedp.SetValue(chromedp.CSS(`select[name="stream"]`), "stderr"), chromedp.Submit(chromedp.CSS(`select[name="stream"]`)))
	p.until(`location.search.includes("stream=stderr") && document.querySelectorAll("#log li").length === 1`)
	g.log("hello", "stdout", "not this")
	g.log("hello", "stderr", "but this")
	p.says("but this")
	if eval[bool](p, `document.body.innerText.includes("not this")`) {
		t.Error("a line that does not fit was shown")
	}
}

// invoking: the answer comes into the page, with where the time went.
func invoking(t *testing.T, b context.Context) {
	g := start(t, program)
	g.deploy("hello")
	p := open(t, b, g.url)
	p.visit("/ui/functions/hello/invoke")
	p.run(chromedp.Evaluate[chromedp.Void]("window.same = true"), chromedp.SetValue(chromedp.CSS(`input[name="path"]`), "/x?y=1"), chromedp.SendKeys(chromedp.CSS(`textarea[name="body"]`), "ping"))
	if m := eval[string](p, `document.querySelector("select[name=method]").value`); m != "POST" {
		t.Errorf("with a body the method is %s", m)
	}
	p.run(chromedp.Click(chromedp.CSS("form[data-result] button.primary")))
	p.says(`POST /x?y=1 text/plain "ping"`)
	p.says("Where the time went")
	p.shot("invoke")
	p.run(chromedp.SetValue(chromedp.CSS(`input[name="path"]`), "/fail"), chromedp.Focus(chromedp.CSS(`input[name="path"]`)), chromedp.KeyEvent(kb.Enter))
	p.says("500 Internal Server Error")
	p.run(chromedp.SetValue(chromedp.CSS(`input[name="path"]`), "/%zz"))
	p.expects = "400"
	p.run(chromedp.Click(chromedp.CSS("form[data-result] button.primary")))
	p.says(`Path "/%zz" is not one`)
	if !eval[bool](p, `window.same && document.querySelector("#result").getAttribute("aria-live") === "polite"`) {
		t.Error("the page was loaded again, or nobody is told of the answer")
	}
}

// withoutScript: forms and pages work in a browser that runs no scripts.
func withoutScript(t *testing.T, b context.Context) {
	g := start(t, program)
	g.deploy("hello")
	g.log("hello", "stdout", "a line")
	p := open(t, b, g.url)
	call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	text := func() string { return get(p, chromedp.Text(chromedp.CSS("body"))) }
	p.visit("/ui/functions/hello/logs")
	if s := text(); !strings.Contains(s, "a line") || !strings.Contains(s, "Reload the page") {
		t.Errorf("the log shows %q", s)
	}
	p.visit("/ui/functions/hello/invoke")
	p.run(chromedp.SendKeys(chromedp.CSS(`textarea[name="body"]`), "ping"), chromedp.Click(chromedp.CSS("form[data-result] button.primary")), chromedp.WaitVisible(chromedp.CSS("#result pre")))
	if s := text(); !strings.Contains(s, `"ping"`) {
		t.Errorf("the answer shows %q", s)
	}
	p.visit("/ui/functions/hello/configure")
	p.run(chromedp.Click(chromedp.CSS(".danger summary")), chromedp.Click(chromedp.CSS(`button[value="remove"]`)), chromedp.WaitVisible(chromedp.CSS(".empty.big a")))
	if s := text(); !strings.Contains(s, "Removed.") || !strings.Contains(s, "Nothing is deployed yet.") {
		t.Errorf("after the removal: %q", s)
	}
}

// deploying: a mistake is named where it was made and what was typed stays; then it works, by file and by name.
func deploying(t *testing.T, b context.Context) {
	g := start(t, program)
	p := open(t, b, g.url)
	p.visit("/ui/")
	p.run(chromedp.Click(chromedp.CSS(".empty.big a")), chromedp.WaitVisible(chromedp.CSS(`input[name="name"]`)))
	program := filepath.Join(t.TempDir(), "my-program")
	if err := os.WriteFile(program, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run(chromedp.SendKeys(chromedp.CSS(`input[name="name"]`), "uploaded"), chromedp.SendKeys(chromedp.CSS(`input[name="memory"]`), "64M"),
		chromedp.SetUploadFiles(chromedp.CSS(`input[name="file"]`), []string{program}))
	p.expects = "400"
	p.run(chromedp.Click(chromedp.CSS("form[data-upload] button.primary")))
	p.says("my-program: not a program")
	if !eval[bool](p, `document.querySelector("#problem").getAttribute("role") === "alert" && document.querySelector("input[name=memory]").value === "64M"`) {
		t.Error("the mistake is not announced, or what was typed is gone")
	}
	if err := os.WriteFile(program, []byte("\x7fELF "+strings.Repeat("x", 3<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run(chromedp.SetUploadFiles(chromedp.CSS(`input[name="file"]`), []string{program}), chromedp.Click(chromedp.CSS("form[data-upload] button.primary")))
	p.until(`location.pathname === "/ui/functions/uploaded"`)
	p.says("Deployed.")
	if r := g.await("uploaded", 1); r.Memory != 64<<20 || r.ImageName != "uploaded" {
		t.Errorf("deployed was %+v", r)
	}
	p.visit("/ui/deploy")
	p.run(chromedp.SendKeys(chromedp.CSS(`input[name="name"]`), "named"), chromedp.SendKeys(chromedp.CSS(`input[name="image"]`), "nothing"), chromedp.Submit(chromedp.CSS(`input[name="name"]`)))
	p.says(`"nothing"`)
	p.shot("deploy-error")
	p.run(chromedp.SetValue(chromedp.CSS(`input[name="image"]`), "img"), chromedp.Submit(chromedp.CSS(`input[name="name"]`)))
	p.until(`location.pathname === "/ui/functions/named"`)
}

// changing: another memory, and back again; then the function goes.
func changing(t *testing.T, b context.Context) {
	g := start(t, program)
	g.deploy("hello")
	p := open(t, b, g.url)
	p.visit("/ui/functions/hello/configure")
	p.run(chromedp.SetValue(chromedp.CSS(`input[name="memory"]`), "128M"), chromedp.Submit(chromedp.CSS(`input[name="memory"]`)))
	p.until(`location.pathname === "/ui/functions/hello"`)
	p.says("hello-00002")
	g.await("hello", 2)
	p.until(`document.querySelector("tr.current th").textContent === "hello-00002"`)
	p.run(chromedp.Click(chromedp.CSS("#back-1")))
	p.until(`document.querySelector("tr.current th") && document.querySelector("tr.current th").textContent === "hello-00001"`)
	p.shot("revisions")
	p.visit("/ui/functions/hello/configure")
	p.run(chromedp.Click(chromedp.CSS(".danger summary")), chromedp.Click(chromedp.CSS(`button[value="remove"]`)))
	p.says("Nothing is deployed yet.")
}

// pages are all kinds of them, with a function hello.
func pages() []string {
	return []string{"/ui/", "/ui/functions/hello", "/ui/functions/hello/logs", "/ui/functions/hello/invoke", "/ui/functions/hello/configure", "/ui/deploy", "/ui/images", "/ui/node", "/ui/queue", "/ui/secrets", "/ui/functions/nobody"}
}

// look: every page is readable in light and dark, on wide and narrow screens, and says what its parts are to who does not see them.
func look(t *testing.T, b context.Context) {
	g := start(t, program)
	g.deploy("hello")
	g.deploy("a-function-with-a-rather-long-name-that-somebody-chose-for-it")
	for range 5 {
		g.do("GET", "/function/hello", "")
	}
	g.do("GET", "/function/hello/fail", "")
	g.log("hello", "stdout", "some output")
	g.log("hello", "stderr", strings.Repeat("a very long line ", 100))
	p := open(t, b, g.url)
	p.expects = "404"
	script, err := os.ReadFile("testdata/look.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"light", "dark"} {
		call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		for _, width := range []int64{1280, 360} {
			p.run(chromedp.EmulateViewport(width, 900))
			for _, path := range pages() {
				p.visit(path)
				for _, problem := range eval[[]string](p, string(script)) {
					t.Errorf("%s, %s, %d wide: %s", path, scheme, width, problem)
				}
				p.shot(fmt.Sprintf("%s-%s-%d", strings.Trim(strings.NewReplacer("/ui/", "", "/", "-", "functions", "").Replace(path)+"-page", "-"), scheme, width))
			}
		}
	}
	dark := func() bool {
		return eval[int](p, `Number(getComputedStyle(document.body).backgroundColor.match(/\d+/)[0])`) < 80
	}
	p.run(chromedp.EmulateViewport(1280, 900))
	p.visit("/ui/")
	if !dark() {
		t.Error("light colours where dark ones are preferred")
	}
	p.run(chromedp.Click(chromedp.CSS("#theme")))
	if dark() {
		t.Error("dark colours after light ones were chosen")
	}
	p.visit("/ui/node")
	if dark() {
		t.Error("what was chosen is forgotten on the next page")
	}
}

// keyboard: everything is reached by keys, and one sees where one is.
func keyboard(t *testing.T, b context.Context) {
	g := start(t, program)
	g.deploy("hello")
	p := open(t, b, g.url)
	p.visit("/ui/")
	p.run(chromedp.KeyEvent(kb.Tab))
	if !eval[bool](p, `document.activeElement.className === "skip" && document.activeElement.getBoundingClientRect().top >= 0`) {
		t.Error("the first stop is not the link to the content, or it is not seen")
	}
	p.run(chromedp.KeyEvent(kb.Enter))
	p.until(`document.activeElement.id === "main"`)
	seen := map[string]bool{}
	for range 20 {
		p.run(chromedp.KeyEvent(kb.Tab))
		at := eval[string](p, `(e => e === document.body ? "" : (e.id || e.getAttribute("aria-label") || e.textContent.trim()) + (getComputedStyle(e).outlineStyle === "none" ? " unseen" : ""))(document.activeElement)`)
		if strings.HasSuffix(at, " unseen") {
			t.Errorf("one does not see that %s has the focus", at)
		}
		seen[at] = true
		if at == "f-hello" {
			break
		}
	}
	if !seen["q"] || !seen["List of functions"] || !seen["f-hello"] {
		t.Errorf("not everything is reached: %v", seen)
	}
	p.run(chromedp.KeyEvent(kb.Enter))
	p.until(`location.pathname === "/ui/functions/hello"`)
	p.run(chromedp.WaitReady(chromedp.CSS("#live")), chromedp.Focus(chromedp.CSS(`.tabs a:nth-child(3)`)), chromedp.KeyEvent(kb.Enter))
	p.until(`location.pathname.endsWith("/invoke")`)
	p.run(chromedp.WaitReady(chromedp.CSS("#result")), chromedp.Focus(chromedp.CSS(`textarea[name="body"]`)), chromedp.KeyEvent("typed"), chromedp.KeyEvent(kb.Enter, chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	p.says(`"typed"`)
}
