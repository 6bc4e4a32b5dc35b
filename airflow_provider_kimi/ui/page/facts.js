// Lists of what is known, term by term. They stay as they are while nothing has changed, so that a selection or a
// reader's place in them is not lost.

import { element, leadInto } from "./nodes.js";

export const known = (entries) => entries.filter(([, content]) => content);

export function listFacts(node, entries) {
  const told = JSON.stringify(entries.map((entry) => entry.map((each) => each?.path ?? each?.text ?? each)));
  node.closest("section").hidden = !entries.length;
  if (node.dataset.told === told) return;
  node.dataset.told = told;
  node.replaceChildren(...entries.map(([term, content, note]) => {
    const row = element("div");
    const value = element("dd", "wrap");
    value.append(typeof content === "string" ? content : content.node, ...(note ? [element("span", "quiet note", note)] : []));
    row.append(element("dt", "", term), value);
    return row;
  }));
}

export function link(text, path) {
  const node = element(path ? "a" : "span", "", text);
  if (path) leadInto(node, path);
  return { node, text, path };
}
