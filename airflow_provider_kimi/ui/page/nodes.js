// Elements. Whatever a batch holds is only ever set as text, never as HTML.

export const host = window.parent === window ? null : window.parent; // Airflow, if it shows the page in a frame
export const byId = (id) => document.getElementById(id);

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function complain(node, text) {
  write(node, text || "");
  node.hidden = !text;
}

// A link into Airflow, by a path below its root; without a path it is no link.
export function leadInto(link, path) {
  if (path) link.href = new URL(`../${path}`, document.baseURI).href;
  else link.removeAttribute("href");
}
