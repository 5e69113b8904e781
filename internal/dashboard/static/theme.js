// SPDX-License-Identifier: Apache-2.0
// theme.js: before anything is drawn, the colours that were chosen last time.
"use strict";
try {
  const theme = localStorage.getItem("theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch { /* a browser that keeps nothing */ }
