// SPDX-License-Identifier: Apache-2.0
// app.js: keeps pages fresh, follows logs, sends forms without leaving the page. Pages work without it.
"use strict";

const byId = (id) => document.getElementById(id);

// here is an address of this node without the password that the page's own may have in it, which fetch would refuse.
function here(url) {
  const u = new URL(url, location.href);
  return location.origin + u.pathname + u.search;
}

// ---- colours ----

function theme() {
  const button = byId("theme");
  const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const show = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours"); };
  button.addEventListener("click", () => {
    const next = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem("theme", next); } catch { /* for this page, then */ }
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
  button.hidden = false;
}

// ---- fragments: parts of a page that are fetched again ----

async function fragment(part, url, options = {}) {
  const headers = { ...options.headers, "X-Unifaas-Fragment": part };
  return fetch(here(url), { credentials: "same-origin", redirect: "manual", ...options, headers });
}

// replace puts new content in the place of an element. What had the focus has it again, what was open or scrolled stays so.
function replace(id, html) {
  const old = byId(id);
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById(id);
  if (!old || !fresh) return false;
  const focus = old.contains(document.activeElement) ? document.activeElement : null;
  const key = focus && (focus.id ? "#" + CSS.escape(focus.id) : focus.getAttribute("aria-label") && `[aria-label="${CSS.escape(focus.getAttribute("aria-label"))}"]`);
  const olds = old.querySelectorAll("details"), news = fresh.querySelectorAll("details");
  if (olds.length === news.length) olds.forEach((d, n) => { news[n].open = d.open; });
  const summary = focus && focus.tagName === "SUMMARY" ? [...old.querySelectorAll("summary")].indexOf(focus) : -1;
  const scrolls = [...old.querySelectorAll(".scroll")].map((e) => [e.scrollLeft, e.scrollTop]);
  old.replaceWith(fresh);
  [...fresh.querySelectorAll(".scroll")].forEach((e, n) => { if (scrolls[n]) [e.scrollLeft, e.scrollTop] = scrolls[n]; });
  const again = summary >= 0 ? fresh.querySelectorAll("summary")[summary] : key && fresh.querySelector(key);
  if (again) again.focus({ preventScroll: true });
  return true;
}

function live() {
  const region = byId("live");
  if (!region) return;
  const every = 1000 * (Number(region.dataset.live) || 2);
  const freshness = byId("freshness");
  let wait = every, timer, lost = false, pressed = false;
  document.addEventListener("pointerdown", () => { pressed = true; });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => { pressed = false; }); // what is being clicked stays where it is
  const selecting = () => { const s = getSelection(); return s && !s.isCollapsed && byId("live").contains(s.anchorNode); };
  async function look() {
    clearTimeout(timer);
    if (document.hidden) return;
    if (!selecting() && !pressed) {
      try {
        const answer = await fragment("live", location.href);
        if (answer.ok) replace("live", await answer.text());
        else if (answer.status === 404) { location.reload(); return; }
        else throw new Error(answer.status);
        wait = every;
        if (lost) { lost = false; freshness.textContent = ""; }
      } catch {
        wait = Math.min(wait * 2, 30000);
        if (!lost) { lost = true; freshness.textContent = "The node does not answer; this page shows what was known last."; }
      }
    }
    timer = setTimeout(look, wait);
  }
  timer = setTimeout(look, wait);
  document.addEventListener("visibilitychange", look);
}

// ---- logs ----

function follow() {
  const log = byId("log");
  if (!log || !window.EventSource) return;
  const button = byId("follow"), most = 2000;
  let source = null, wanted = true;
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const end = () => { log.scrollTop = log.scrollHeight; };
  function line(l) {
    const li = document.createElement("li");
    li.className = l.stream;
    const add = (name, cls, text) => { const e = document.createElement(name); e.className = cls; e.textContent = text; li.append(e, " "); return e; };
    add("time", "", l.clock).dateTime = l.time;
    add("code", "who", l.instance);
    add("span", "from", l.stream);
    add("span", "text", l.text);
    return li;
  }
  function show(lines, all) {
    const stay = atEnd();
    const empty = byId("log-empty");
    if (lines.length && empty) empty.remove();
    if (all) log.replaceChildren();
    log.append(...lines.map(line));
    while (log.childElementCount > most) log.firstElementChild.remove();
    if (stay) end();
  }
  function open() {
    if (source || !wanted || document.hidden) return;
    source = new EventSource(here(log.dataset.stream));
    source.addEventListener("all", (e) => show(JSON.parse(e.data), true));
    source.addEventListener("more", (e) => show(JSON.parse(e.data), false));
    source.onopen = () => { log.dataset.connected = "yes"; byId("freshness").textContent = ""; };
    source.onerror = () => {
      delete log.dataset.connected;
      byId("freshness").textContent = "The log is not being followed: the node does not answer.";
      if (source && source.readyState === EventSource.CLOSED) { close(); setTimeout(open, 5000); }
    };
  }
  function close() {
    if (source) source.close();
    source = null;
    delete log.dataset.connected;
  }
  button.hidden = false;
  button.addEventListener("click", () => {
    wanted = !wanted;
    button.setAttribute("aria-pressed", String(wanted));
    button.textContent = wanted ? "Following" : "Paused";
    if (wanted) open(); else close();
  });
  // A page in the background holds no connection: browsers have few for one server.
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
  end();
  open();
}

// ---- forms ----

function invocations() {
  const form = document.querySelector("form[data-result]");
  if (!form) return;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button.primary");
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    button.textContent = "Running…";
    try {
      const answer = await fragment("result", form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      const text = await answer.text();
      if (!replace("result", text)) throw new Error("status " + answer.status);
    } catch (problem) {
      const note = document.createElement("p");
      note.className = "note bad";
      note.textContent = "The node gave no answer: " + problem.message + ".";
      byId("result").replaceChildren(note);
    }
    button.removeAttribute("aria-disabled");
    button.textContent = "Invoke";
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.elements.body.addEventListener("input", () => {
    if (form.elements.body.value && form.elements.method.value === "GET") form.elements.method.value = "POST";
  });
}

function uploads() {
  const form = document.querySelector("form[data-upload]");
  if (!form) return;
  form.addEventListener("submit", (event) => {
    const file = form.elements.file.files[0];
    if (!file) return; // nothing that takes long
    event.preventDefault();
    const bar = byId("progress"), text = byId("progress-text"), button = form.querySelector("button.primary");
    const request = new XMLHttpRequest();
    const end = (what) => { text.textContent = what; bar.hidden = true; button.disabled = false; };
    request.upload.onprogress = (e) => {
      if (!e.lengthComputable) return;
      bar.value = 100 * e.loaded / e.total;
      text.textContent = e.loaded < e.total ? Math.floor(bar.value) + " %" : "Making an image of it…";
    };
    request.onload = () => {
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      if (request.status === 200 && request.responseURL !== here(form.action)) { location.href = request.responseURL; return; }
      const problem = page.querySelector("[role=alert]");
      let note = byId("problem");
      if (!note) {
        note = document.createElement("p");
        note.id = "problem";
        note.className = "note bad";
        note.setAttribute("role", "alert");
        byId("main").prepend(note);
      }
      note.textContent = problem ? problem.textContent : "The node answered " + request.status + ".";
      end("");
      form.elements.name.setAttribute("aria-describedby", "problem");
      note.scrollIntoView({ block: "center" });
    };
    request.onerror = () => end("The upload broke off.");
    request.open("POST", here(form.action));
    bar.hidden = false;
    button.disabled = true;
    text.textContent = "0 %";
    request.send(new FormData(form));
  });
}

theme();
live();
follow();
invocations();
uploads();
