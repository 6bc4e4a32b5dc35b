// Which view the address names, and how links lead from one to another.

import { host } from "./nodes.js";

export const query = () => new URLSearchParams(location.search);
const isOwn = (link) => link.origin === location.origin && link.pathname === location.pathname;

// Links of the page change the view; the frame may not navigate Airflow itself, but a link of Airflow's own document may.
function follow(event) {
  const link = event.target.closest("a[href]");
  if (!link || link.target || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (isOwn(link)) {
    event.preventDefault();
    history.pushState(null, "", link.href);
    window.dispatchEvent(new PopStateEvent("popstate"));
  } else if (host) {
    event.preventDefault();
    const outer = host.document.createElement("a");
    outer.href = link.href;
    host.document.body.append(outer);
    outer.click();
    outer.remove();
  }
}

// Airflow takes over the address of its frame when that has loaded.
export const announce = () => window.frameElement?.dispatchEvent(new Event("load"));

export function onRoute(show) {
  document.addEventListener("click", follow);
  window.addEventListener("popstate", () => {
    show();
    announce();
  });
  show();
}
