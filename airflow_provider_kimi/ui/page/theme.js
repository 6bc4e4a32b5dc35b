// The theme of Airflow's own UI, or else of the browser.

import { stored } from "./words.js";
import { host } from "./nodes.js";

const CLEAR = "rgba(0, 0, 0, 0)";

function backgroundBehind(node) {
  const color = host.getComputedStyle(node).backgroundColor;
  return color === CLEAR && node.parentElement ? backgroundBehind(node.parentElement) : color;
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
function takeTheme() {
  const chosen = host?.document.documentElement.classList;
  const theme = chosen?.contains("dark") ? "dark" : chosen?.contains("light") ? "light" : stored("theme");
  const isDark = theme === "dark" || (theme !== "light" && prefersDark.matches);
  document.documentElement.classList.toggle("dark", isDark);
  if (host) document.body.style.backgroundColor = backgroundBehind(window.frameElement);
}
takeTheme();
prefersDark.addEventListener("change", takeTheme);
window.addEventListener("storage", takeTheme);
if (host) new MutationObserver(takeTheme).observe(host.document.documentElement, { attributeFilter: ["class"] });
