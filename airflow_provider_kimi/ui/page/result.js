// A landed result: what it counts, where its files are, what failed, and how to ask that again.

import { link, listFacts } from "./facts.js";
import { element } from "./nodes.js";
import { fill, moment, number, texts } from "./words.js";

const shown = new WeakMap(); // what stands in each place, as text

export function showResult(place, result, replayPath) {
  const told = JSON.stringify([result, replayPath]);
  if (shown.get(place) === told) return;
  shown.set(place, told);
  place.hidden = !result;
  place.replaceChildren(...(result ? parts(result, replayPath) : []));
}

const parts = (result, replayPath) => [
  section(texts.result, facts(result), result.is_whole ? "" : texts.result_so_far),
  section(texts.files, result.files.map(([name, location]) => [texts[`file_${name}`], location ?? ""]), "", "places"),
  section(texts.dead_letters, result.failures.map(failure)),
  ...(result.replay_conf ? [replay(result.replay_conf, replayPath)] : []),
];

function section(title, entries, note = "", className = "") {
  const made = element("section");
  const node = element("dl", className);
  made.append(element("h2", "", title), ...(note ? [element("p", "", note)] : []), node);
  listFacts(node, entries);
  return made;
}

const landedBy = ({ landed_by: name, path }) => (path ? [[texts.landed_by, link(name, path)]] : []);

function facts(result) {
  const { status, counts, usage, cost, rounds, completed_at: completedAt } = result;
  const { total, ...byStatus } = counts;
  const rows = Object.entries(byStatus).filter(([, count]) => count);
  return [
    [texts.status, texts[`result_${status}`] ?? status ?? ""],
    [texts.rows, number(total), rows.map(([name, count]) => `${number(count)} ${texts[`row_${name}`]}`).join(", ")],
    [texts.tokens, fill(texts.tokens_in_words, usage)],
    [texts.cost, cost.amount === null ? texts.not_known : `${number(cost.amount)} ${cost.currency ?? ""}`],
    [texts.rounds, number(rounds)],
    ...(completedAt ? [[texts.batches_ended, moment(completedAt)]] : []),
    ...landedBy(result),
  ];
}

function failure({ status, reason, count, sample }) {
  const kind = texts[`row_${status}`] ?? texts[`failures_${status}`] ?? status;
  const ids = sample.length ? fill(texts.such_as, { ids: sample.join(", ") }) : "";
  return [`${kind}: ${texts[`reason_${reason}`] ?? reason}`, number(count), ids];
}

function replay(conf, path) {
  const made = element("section");
  const text = element("pre", "wrap mono", JSON.stringify(conf, null, 2));
  text.tabIndex = 0;
  const buttons = element("div", "copy");
  const button = element("button", "", texts.copy);
  const said = element("span", "quiet");
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    said.textContent = (await copied(text)) ? texts.copied : texts.copy_by_hand;
  });
  buttons.append(button, said);
  made.append(element("h2", "", texts.replay), how(path), element("p", "", texts.replay_schema), text, buttons);
  return made;
}

function how(path) {
  const node = element("p", "", path ? texts.replay_here : texts.replay_elsewhere);
  if (!path) return node;
  node.append(" ", link(path.split("/").at(-1), path).node);
  return node;
}

// Over plain HTTP a browser has no clipboard for pages: then the text is selected, which any browser can copy.
async function copied(node) {
  getSelection().selectAllChildren(node);
  try {
    await navigator.clipboard.writeText(node.textContent);
    return true;
  } catch {
    return false;
  }
}
