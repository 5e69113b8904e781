// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"bufio"
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/control"
)

// program answers for all functions.
func program(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/unavailable":
		w.WriteHeader(http.StatusServiceUnavailable)
	case "/json":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"a":[1,2]}`)
	case "/binary":
		w.Write([]byte{0, 1, 2, 0xff})
	case "/much":
		for part := bytes.Repeat([]byte("much "), 20000); ; {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	case "/half":
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "/fail":
		http.Error(w, "it <b>failed</b>", http.StatusInternalServerError)
	default:
		b := new(bytes.Buffer)
		b.ReadFrom(r.Body)
		fmt.Fprintf(w, "%s %s %s %q host=%s", r.Method, r.RequestURI, r.Header.Get("Content-Type"), b, r.Host)
		for _, v := range r.Header["X-Mine"] {
			fmt.Fprintf(w, " mine=%s", v)
		}
	}
}

func want(t *testing.T, what string, resp *http.Response, body string, status int, texts ...string) {
	t.Helper()
	if resp.StatusCode != status {
		t.Errorf("%s: %s, want %d", what, resp.Status, status)
	}
	for _, text := range texts {
		if !strings.Contains(body, text) {
			t.Errorf("%s: has no %q in it:\n%s", what, text, body)
		}
	}
}

func TestPages(t *testing.T) {
	g := start(t, program)
	g.deploy("hello")
	g.deploy("a.b")
	g.do("GET", "/function/hello/json", "")
	for path, texts := range map[string][]string{
		"/ui/":                               {"hello", "a.b", "live"},
		"/ui/?q=HEL":                         {">hello<"},
		"/ui/?q=<script>":                    {"&lt;script&gt;"},
		"/ui/?page=99999999999999999999":     {"hello"},
		"/ui/?page=-4":                       {"hello"},
		"/ui/functions/hello":                {"hello-00001", "Last starts", "/function/hello"},
		"/ui/functions/a.b":                  {"a.b-00001", "served"},
		"/ui/functions/hello/logs":           {"data-stream"},
		"/ui/functions/hello/invoke":         {"Path and query"},
		"/ui/functions/hello/configure":      {"256M", "Remove hello"},
		"/ui/deploy":                         {"Image by name"},
		"/ui/images":                         {"111111111111", "/bin/img"},
		"/ui/queue":                          {"Nothing waits"},
		"/ui/secrets":                        {"None yet", "default"},
		"/ui/node":                           {"Functions can run here", "buy &lt;b&gt;more"},
		"/ui/functions/hello/logs?text=%00x": {"that fit"},
	} {
		resp, body := g.do("GET", path, "")
		want(t, path, resp, body, http.StatusOK, texts...)
		if !strings.HasSuffix(strings.TrimSpace(body), "</html>") {
			t.Errorf("%s: is not whole", path)
		}
		for _, h := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"} {
			if resp.Header.Get(h) == "" {
				t.Errorf("%s: without %s", path, h)
			}
		}
		if strings.Contains(body, "style=") || strings.Contains(body, " onclick") || strings.Contains(strings.ReplaceAll(body, "https://registry.example.com", ""), "https://") {
			t.Errorf("%s: has something that its policy forbids", path)
		}
	}
	for _, path := range []string{"/ui/functions/nobody", "/ui/functions/nobody/logs", "/ui/functions/nobody/logs/stream", "/ui/functions/" + strings.Repeat("x", 10000), "/ui/functions/..%2f..%2fetc",
		"/ui/what", "/ui/static/../dashboard.go", "/ui/static/none.js"} {
		resp, body := g.do("GET", path, "")
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode/100 != 3 || len(body) > 10000 {
			t.Errorf("%.60s: %s and %d bytes", path, resp.Status, len(body))
		}
	}
	resp, _ := g.do("GET", "/ui", "")
	if resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != "/ui/" {
		t.Errorf("/ui: %s %s", resp.Status, resp.Header.Get("Location"))
	}
	_, body := g.do("GET", "/ui/functions/hello", "", "X-Unifaas-Fragment", "live")
	if strings.Contains(body, "<html") || !strings.Contains(body, `id="live"`) {
		t.Errorf("fragment: %.200s", body)
	}
	_, whole := g.do("GET", "/ui/", "")
	for _, name := range []string{"app.css", "app.js", "theme.js", "icon.svg"} {
		_, rest, ok := strings.Cut(whole, "/ui/static/"+name)
		at, _, _ := strings.Cut(rest, `"`)
		resp, body := g.do("GET", "/ui/static/"+name+at, "")
		if !ok || resp.StatusCode != http.StatusOK || len(body) < 100 || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s%s: %s, %d bytes, %s", name, at, resp.Status, len(body), resp.Header.Get("Cache-Control"))
		}
	}
}

func TestManyFunctions(t *testing.T) {
	g := start(t, program)
	for n := range 103 {
		g.deploy(fmt.Sprintf("f%03d", n))
	}
	_, first := g.do("GET", "/ui/", "")
	_, second := g.do("GET", "/ui/?page=2", "")
	if strings.Count(first, `href="/ui/functions/`) != 100 || strings.Count(second, `href="/ui/functions/`) != 3 || !strings.Contains(first, "Page 1 of 2") || !strings.Contains(second, "f102") {
		t.Error("103 functions are not two pages of a hundred and three")
	}
}

func TestInvoke(t *testing.T) {
	g := start(t, program)
	g.deploy("hello")
	const at = "/ui/functions/hello/invoke"
	for _, c := range []struct {
		what   string
		status int
		form   []string
		texts  []string
	}{
		{"a call", 200, []string{"method", "POST", "path", "/a%2Fb?x=1&y", "body", "one\r\ntwo", "type", "text/x", "headers", "X-Mine: 1\r\nx-mine:2\r\n\r\nHost: other"},
			[]string{"POST /a%2Fb?x=1&amp;y text/x &#34;one\\ntwo&#34; host=other mine=1 mine=2", "200 OK", "Where the time went"}},
		{"a path without /", 200, []string{"method", "GET", "path", "a b"}, []string{"GET /a%20b"}},
		{"JSON", 200, []string{"method", "GET", "path", "/json"}, []string{"&#34;a&#34;: [\n    1,"}},
		{"no text", 200, []string{"method", "GET", "path", "/binary"}, []string{"4 that are not text"}},
		{"more than is shown", 200, []string{"method", "GET", "path", "/much"}, []string{"much much", "Only the beginning is shown"}},
		{"half an answer", 200, []string{"method", "GET", "path", "/half"}, []string{"broke off", "half"}},
		{"a failure", 200, []string{"method", "GET", "path", "/fail"}, []string{"500 Internal Server Error", "it &lt;b&gt;failed"}},
		{"no method", 400, []string{"method", "G T", "path", "/"}, []string{"Method"}},
		{"another method", 200, []string{"method", "BREW", "path", "/"}, []string{"405", "said by the gateway"}},
		{"a bad header", 400, []string{"method", "GET", "path", "/", "headers", "nonsense"}, []string{"Header line"}},
		{"a header that ends the head", 400, []string{"method", "GET", "path", "/", "headers", "A: b\x01c"}, []string{"Header line"}},
		{"a fragment", 400, []string{"method", "GET", "path", "/#x"}, []string{"Path"}},
		{"a bad escape", 400, []string{"method", "GET", "path", "/%zz"}, []string{"Path"}},
		{"an end of the line", 400, []string{"method", "GET", "path", "/ HTTP/1.1\r\nX: y"}, []string{"Path"}},
		{"hop headers", 200, []string{"method", "GET", "path", "/", "headers", "Upgrade: websocket\nConnection: upgrade\nContent-Length: 70\nTransfer-Encoding: chunked\nExpect: 100-continue"}, []string{"200 OK"}},
	} {
		resp, body := g.post(at, c.form...)
		want(t, c.what, resp, body, c.status, c.texts...)
		if strings.Contains(body, "much much") && len(body) > 2<<20 {
			t.Errorf("%s: a page of %d bytes", c.what, len(body))
		}
	}
	resp, body := g.do("POST", at, "body="+strings.Repeat("x", 9<<20), "Content-Type", "application/x-www-form-urlencoded")
	want(t, "a form that is too large", resp, body, http.StatusBadRequest, "did not arrive")
}

// TestOrigins: nothing is changed for pages of others, whatever tells them apart.
func TestOrigins(t *testing.T) {
	g := start(t, program)
	g.deploy("hello")
	for _, h := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://evil.example"}, {"Origin", "null"}} {
		resp, _ := g.do("POST", "/ui/functions/hello/configure/run", "do=remove", append(h, "Content-Type", "application/x-www-form-urlencoded")...)
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%v: %s, want 403", h, resp.Status)
		}
	}
	if _, err := g.control.Get("hello"); err != nil {
		t.Fatal("the function is gone")
	}
	resp, _ := g.do("POST", "/ui/functions/hello/configure/run", "do=remove", "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin", "Origin", g.url)
	if resp.StatusCode != http.StatusSeeOther {
		t.Errorf("from a page of our own: %s", resp.Status)
	}
	if _, err := g.control.Get("hello"); err == nil {
		t.Error("the function is still there")
	}
}

// form makes what a browser makes of a form with a file.
func form(file, content string, kv ...string) (body, kind string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i+1 < len(kv); i += 2 {
		w.WriteField(kv[i], kv[i+1])
	}
	p, _ := w.CreateFormFile("file", file)
	p.Write([]byte(content))
	w.Close()
	return b.String(), w.FormDataContentType()
}

func TestDeploy(t *testing.T) {
	g := start(t, program)
	many := make([]string, 0, 200)
	for range 100 {
		many = append(many, "x", "y")
	}
	for _, c := range []struct {
		what, file, content string
		kv                  []string
		status              int
		text                string
	}{
		{"a name", "", "", []string{"name", "one", "image", "img", "memory", "64M", "env", "A=1\r\nB=x=y\r\n", "egress", "none", "min", "1", "max", "2"}, 303, ""},
		{"a file", "prog", "\x7fELF program", []string{"name", "two"}, 303, ""},
		{"a file called like a folder", "../../..", "\x7fELF", []string{"name", "three"}, 303, ""},
		{"neither", "", "", []string{"name", "x"}, 400, "choose a file or name an image"},
		{"both", "prog", "\x7fELF", []string{"name", "x", "image", "img"}, 400, "not both"},
		{"no image", "", "", []string{"name", "x", "image", "nothing"}, 400, "nothing"},
		{"no name", "prog", "\x7fELF", nil, 400, "function name"},
		{"a bad name", "prog", "\x7fELF", []string{"name", "../x"}, 400, "function name"},
		{"a long name", "prog", "\x7fELF", []string{"name", strings.Repeat("n", 10000)}, 400, "function name"},
		{"no program", "notes.txt", "hello", []string{"name", "x"}, 400, "notes.txt: not a program"},
		{"an empty file", "empty", "", []string{"name", "x", "image", ""}, 400, "is empty"},
		{"bad memory", "", "", []string{"name", "x", "image", "img", "memory", "lots"}, 400, "Memory"},
		{"bad number", "", "", []string{"name", "x", "image", "img", "max", "9e9"}, 400, "is not a number"},
		{"bad environment", "", "", []string{"name", "x", "image", "img", "env", "nonsense"}, 400, "NAME=value"},
		{"bad egress", "", "", []string{"name", "x", "image", "img", "egress", "!!"}, 400, "egress"},
		{"bad isolation", "", "", []string{"name", "x", "image", "img", "isolation", "<b>"}, 400, "isolation &#34;&lt;b&gt;&#34;"},
		{"many fields", "", "", many, 400, "too many fields"},
		{"a long field", "", "", []string{"name", "x", "env", strings.Repeat("x", 300<<10)}, 400, "longer than"},
	} {
		body, kind := form(c.file, c.content, c.kv...)
		resp, page := g.do("POST", "/ui/deploy", body, "Content-Type", kind)
		want(t, c.what, resp, page, c.status, c.text)
	}
	resp, page := g.do("POST", "/ui/deploy", "name=x", "Content-Type", "application/x-www-form-urlencoded")
	want(t, "another kind of form", resp, page, http.StatusBadRequest, "did not arrive")
	resp, page = g.do("POST", "/ui/deploy", "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx", "Content-Type", "multipart/form-data; boundary=b")
	want(t, "half a form", resp, page, http.StatusBadRequest, "did not arrive")
	if l := g.control.List(); len(l) != 3 {
		t.Fatalf("%d functions, want three", len(l))
	}
	one, _ := g.control.Get("one")
	if r := one.Current(); r.Memory != 64<<20 || r.Env["A"] != "1" || r.Env["B"] != "x=y" || r.Egress[0] != "none" || one.Scale.Min != 1 || one.Scale.Max != 2 {
		t.Errorf("one is %+v", r)
	}
	two, _ := g.control.Get("two")
	if two.Current().ImageName != "two" {
		t.Errorf("two is %+v", two.Current())
	}
}

func TestConfigure(t *testing.T) {
	g := start(t, program)
	g.deploy("hello")
	const at = "/ui/functions/hello/configure"
	base := []string{"image", "img", "contract", "http", "isolation", "reuse", "timeout", "30s", "concurrency", "16", "min", "0", "max", "4", "egress", "public"}
	resp, body := g.post(at, append(base, "memory", "1T")...)
	want(t, "too much memory", resp, body, http.StatusBadRequest, "choose from", `value="1T"`, `value="img"`)
	resp, body = g.post(at, append(base, "memory", "128M", "env", "K=v")...)
	want(t, "memory", resp, body, http.StatusSeeOther)
	if r := g.await("hello", 2); r.Number != 2 || r.Memory != 128<<20 || r.Env["K"] != "v" {
		t.Errorf("%+v", r)
	}
	resp, body = g.post(at, append(base, "memory", "128M", "env", "")...)
	want(t, "no environment", resp, body, http.StatusSeeOther)
	if r := g.await("hello", 3); len(r.Env) != 0 {
		t.Errorf("what was taken out of the environment is there: %v", r.Env)
	}
	_, body = g.do("GET", "/ui/functions/hello", "")
	if !strings.Contains(body, `name="to" value="2"`) || strings.Contains(body, `name="to" value="3"`) {
		t.Error("not the revisions that are not served can be served again")
	}
	resp, body = g.post(at+"/run", "do", "rollback", "to", "2")
	want(t, "rollback", resp, body, http.StatusSeeOther)
	g.await("hello", 2)
	if f, _ := g.control.Get("hello"); f.Current().Number != 2 {
		t.Errorf("revision %d is served after a rollback to 2", f.Current().Number)
	}
	resp, body = g.post(at+"/run", "do", "rollback", "to", "77")
	want(t, "rollback to nothing", resp, body, http.StatusBadRequest)
	resp, body = g.post(at+"/run", "do", "park")
	want(t, "park", resp, body, http.StatusSeeOther)
	resp, body = g.post(at+"/run", "do", "explode")
	want(t, "something else", resp, body, http.StatusBadRequest)
	resp, body = g.do("GET", "/ui/functions/hello?done=<b>", "")
	want(t, "words in an address", resp, body, http.StatusOK)
	if strings.Contains(body, "role=\"status\">&lt;") {
		t.Error("an address can have the page say something")
	}
}

// TestLogStream: what is there first, then what comes; it ends with the reader, and with the node.
func TestLogStream(t *testing.T) {
	g := start(t, program)
	g.deploy("hello")
	g.book.Remove("hello") // what was said about its start
	open := func(query string) (*http.Response, *bufio.Scanner) {
		resp, err := http.Get(g.url + "/ui/functions/hello/logs/stream" + query)
		if err != nil {
			t.Fatal(err)
		}
		sc := bufio.NewScanner(resp.Body)
		sc.Buffer(nil, 1<<20)
		return resp, sc
	}
	next := func(sc *bufio.Scanner) (event, data string) {
		for sc.Scan() {
			if e, ok := strings.CutPrefix(sc.Text(), "event: "); ok {
				event = e
			}
			if d, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
				return event, d
			}
		}
		return "", ""
	}
	resp, sc := open("")
	defer resp.Body.Close()
	if e, d := next(sc); e != "all" || d != "[]" {
		t.Errorf("an empty log: %s %s", e, d)
	}
	g.log("hello", "stdout", "first\r\nevent: all\ndata: x")
	if e, d := next(sc); e != "more" || !strings.Contains(d, `"text":"first\r\nevent: all\ndata: x"`) || !strings.Contains(d, `"instance":"i1"`) {
		t.Errorf("a line: %s %s", e, d)
	}
	again, sc2 := open("?stream=stderr&text=ERR")
	if e, d := next(sc2); e != "all" || d != "[]" {
		t.Errorf("nothing that fits: %s %s", e, d)
	}
	g.log("hello", "stdout", "an error")
	g.log("hello", "stderr", "an error")
	if e, d := next(sc2); e != "more" || strings.Contains(d, "stdout") || !strings.Contains(d, "an error") {
		t.Errorf("what fits: %s %s", e, d)
	}
	again.Body.Close()
	g.closing()
	for sc.Scan() {
	}
	if err := sc.Err(); err != nil {
		t.Errorf("the end of the node: %v", err)
	}
}

// TestQueue: what could not be done is listed, tried again and dropped.
func TestQueue(t *testing.T) {
	g := start(t, program)
	g.deploy("hello")
	resp, body := g.post("/ui/functions/hello/invoke", "method", "POST", "path", "/unavailable?<b>", "async", "1", "headers", "X-Call-Id: call-one")
	want(t, "an asynchronous call", resp, body, http.StatusOK, "202 Accepted", "No body")
	dead := func() string {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			_, body := g.do("GET", "/ui/queue", "")
			_, rest, ok := strings.Cut(body, `name="replay" value="`)
			if key, _, _ := strings.Cut(rest, `"`); ok && strings.Contains(body, "call-one") {
				if strings.Contains(body, "?<b>") {
					t.Error("a path is not shown as text")
				}
				return key
			}
			if time.Now().After(deadline) {
				t.Fatalf("it is no dead letter: %s", body)
			}
		}
	}
	resp, body = g.post("/ui/queue", "replay", dead())
	want(t, "again", resp, body, http.StatusSeeOther)
	key := dead()
	resp, body = g.post("/ui/queue", "drop", key)
	want(t, "drop", resp, body, http.StatusSeeOther)
	_, body = g.do("GET", "/ui/queue", "")
	if strings.Contains(body, "call-one") {
		t.Error("what was dropped is there")
	}
	resp, body = g.post("/ui/queue", "drop", key)
	want(t, "drop it again", resp, body, http.StatusNotFound)
	resp, body = g.post("/ui/queue", "all", "1")
	want(t, "all", resp, body, http.StatusSeeOther)
	resp, body = g.post("/ui/queue", "what", "1")
	want(t, "something else", resp, body, http.StatusBadRequest)
}

// TestSecrets: they are kept, used and removed, and their values are shown nowhere.
func TestSecrets(t *testing.T) {
	g := start(t, program)
	const value = "extremely secret value"
	resp, body := g.post("/ui/secrets", "name", "token", "namespace", "default", "value", value)
	want(t, "keep", resp, body, http.StatusSeeOther)
	resp, body = g.post("/ui/secrets", "name", "../x", "namespace", "default", "value", value)
	want(t, "a bad name", resp, body, http.StatusBadRequest, "secret name")
	if strings.Contains(body, value) {
		t.Error("a value is shown after a mistake")
	}
	resp, body = g.post("/ui/secrets", "name", "token", "namespace", "nowhere", "value", value)
	want(t, "no namespace", resp, body, http.StatusBadRequest, "nowhere")
	form, kind := form("", "", "name", "hello", "image", "img", "secrets", "token", "cpu", "0.5", "queue", "7", "weight", "50", "concurrency", "0")
	resp, body = g.do("POST", "/ui/deploy", form, "Content-Type", kind)
	want(t, "deploy with it", resp, body, http.StatusSeeOther)
	if r := g.await("hello", 1); r.State != control.Ready {
		t.Fatalf("revision 1 is %s: %s", r.State, r.Reason)
	}
	f, _ := g.control.Get("hello")
	if r := f.Current(); len(r.Secrets) != 1 || f.Scale.CPU != 500 || f.Scale.Queue != 7 || f.Scale.Weight != 50 || r.Concurrency != control.Unlimited {
		t.Errorf("deployed was %+v %+v", r, f.Scale)
	}
	resp, body = g.do("GET", "/ui/functions/hello/configure", "")
	want(t, "configure", resp, body, http.StatusOK, `value="token"`, `value="500m"`, `value="7"`, `value="50"`, `name="concurrency" value="0"`)
	resp, body = g.post("/ui/functions/hello/configure", "image", "img", "contract", "http", "isolation", "reuse", "memory", "256M", "timeout", "30s", "concurrency", "0", "min", "0", "max", "4", "egress", "public", "secrets", "token", "cpu", "500m")
	want(t, "the same again", resp, body, http.StatusSeeOther)
	if f, _ := g.control.Get("hello"); len(f.Revisions) != 1 || f.Scale.Queue != 7 {
		t.Errorf("the form as it was made %d revisions, queue %d", len(f.Revisions), f.Scale.Queue)
	}
	for _, path := range []string{"/ui/secrets", "/ui/functions/hello", "/ui/functions/hello/configure"} {
		if _, body := g.do("GET", path, ""); strings.Contains(body, value) {
			t.Errorf("%s shows a value", path)
		}
	}
	resp, body = g.post("/ui/secrets", "do", "remove", "name", "token", "namespace", "default")
	want(t, "remove", resp, body, http.StatusSeeOther)
	resp, body = g.post("/ui/secrets", "do", "remove", "name", "token", "namespace", "default")
	want(t, "remove again", resp, body, http.StatusNotFound)
}
