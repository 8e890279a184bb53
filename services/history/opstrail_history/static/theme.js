// Before the first paint: the theme that was chosen on this machine.
"use strict";
try {
  const chosen = localStorage.getItem("opstrail-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* no storage: the system's theme it is */ }
