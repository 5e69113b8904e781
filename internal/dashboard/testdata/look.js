// SPDX-License-Identifier: Apache-2.0
// look.js: what is wrong with a page, as a list of sentences.
(() => {
  const problems = [];
  const shown = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility === "visible" && !e.closest(".hide, .skip");
  const what = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (typeof e.className === "string" && e.className ? "." + e.className : "") + " " + JSON.stringify((e.textContent || "").trim().slice(0, 40));

  // ---- texts and their ground ----
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return { r: m[0], g: m[1], b: m[2], a: m.length > 3 ? m[3] : 1 }; };
  const light = ({ r, g, b }) => {
    const f = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.a === 1) return c;
      if (c.a > 0) return null; // a mixture: none of ours
    }
    return { r: 255, g: 255, b: 255 };
  };
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !shown(e)) continue;
    const style = getComputedStyle(e);
    const fore = light(parse(e instanceof SVGElement ? style.fill : style.color)), behind = ground(e);
    if (!behind) { problems.push("cannot tell what is behind " + what(e)); continue; }
    const back = light(behind);
    const contrast = (Math.max(fore, back) + 0.05) / (Math.min(fore, back) + 0.05);
    if (contrast < 4.5 && !e.closest("[aria-disabled=true], :disabled")) problems.push(`contrast ${contrast.toFixed(2)} of ${what(e)}`);
  }

  // ---- sizes ----
  if (document.documentElement.scrollWidth > innerWidth) {
    const wide = [...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest(".scroll, .chart, pre, .log")).map(what);
    problems.push(`${document.documentElement.scrollWidth} wide: ${wide[0]}`);
  }

  // ---- names and structure ----
  if (!document.documentElement.lang) problems.push("no language");
  if (!document.title) problems.push("no title");
  if (document.querySelectorAll("h1").length !== 1) problems.push(document.querySelectorAll("h1").length + " main headings");
  if (document.querySelectorAll("main").length !== 1) problems.push("not one main part");
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4")) {
    const l = Number(h.tagName[1]);
    if (l > level + 1) problems.push("a level is left out before " + what(h));
    level = l;
  }
  const ids = new Set();
  for (const e of document.querySelectorAll("[id]")) {
    if (ids.has(e.id)) problems.push("id " + e.id + " is there twice");
    ids.add(e.id);
  }
  const refers = (e, name) => (e.getAttribute(name) || "").split(/\s+/).filter(Boolean);
  for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
    for (const id of [...refers(e, "aria-labelledby"), ...refers(e, "aria-describedby")]) if (!document.getElementById(id)) problems.push(`${what(e)} refers to ${id}, which is not there`);
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea, progress"))
    if (!e.labels?.length && !e.getAttribute("aria-label")) problems.push("no label: " + what(e));
  for (const e of document.querySelectorAll("a[href], button"))
    if (!e.textContent.trim() && !e.getAttribute("aria-label")) problems.push("no name: " + what(e));
  for (const e of document.querySelectorAll("svg"))
    if (e.getAttribute("aria-hidden") !== "true" && !(e.getAttribute("role") === "img" && e.getAttribute("aria-label"))) problems.push("a picture without words: " + what(e));
  for (const e of document.querySelectorAll("[tabindex='0']"))
    if (!e.getAttribute("aria-label")) problems.push("can have the focus and has no name: " + what(e));
  for (const e of document.querySelectorAll("table"))
    if ([...e.querySelectorAll("th")].some((h) => !h.scope)) problems.push("a heading of a table that does not say of what");
  for (const e of document.querySelectorAll("nav, section"))
    if (!e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")) problems.push("a part without a name: " + what(e));
  return problems;
})()
