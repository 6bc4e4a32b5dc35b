// What the table is narrowed down to. The address holds it, so that a filtered page can be shared and found again.

import { ask } from "./asking.js";
import { byId, element } from "./nodes.js";
import { announce, query } from "./route.js";
import { statusText, store, stored } from "./words.js";

const CONNECTION = "kimi-batches-connection"; // what was looked at last, for an address that names none
const fields = { conn_id: byId("connection"), status: byId("status"), dag: byId("dag"), search: byId("search") };
const texts = { status: statusText, dag: (dagId) => dagId };

export function wanted(batches) {
  const [status, dagId, isMine] = [fields.status.value, fields.dag.value, byId("mine").checked];
  const words = fields.search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const names = ["id", "model", "dag_id", "run_id", "task_id", "status"];
  return batches.filter((batch) => {
    if ((status && batch.status !== status) || (dagId && batch.dag_id !== dagId) || (isMine && !batch.is_mine)) return false;
    const text = names.map((name) => batch[name] ?? "").join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function options(values, text) {
  return values.map((value) => {
    const option = element("option", "", text(value));
    option.value = value;
    return option;
  });
}

// Offers what the list has, and what is chosen already.
function offer(name, values) {
  const select = fields[name];
  const chosen = select.value;
  const wished = [...new Set([...values, chosen])].filter(Boolean).sort();
  const [every, ...offered] = select.options;
  if (wished.join("\n") === offered.map((option) => option.value).join("\n")) return;
  select.replaceChildren(every, ...options(wished, texts[name]));
  select.value = chosen;
}

export function offerChoices(batches) {
  offer("status", batches.map((batch) => batch.status));
  offer("dag", batches.map((batch) => batch.dag_id));
}

export async function offerConnections() {
  const { answer } = await ask("connections");
  if (answer) byId("connections").replaceChildren(...options(answer.connections, (connId) => connId));
}

export function restore() {
  const found = query();
  for (const [name, field] of Object.entries(fields)) {
    const value = found.get(name) ?? "";
    if (name in texts && value) offer(name, [value]);
    field.value = value;
  }
  fields.conn_id.value ||= stored(CONNECTION) || "kimi_default";
  byId("mine").checked = found.has("mine");
}

// The query of the address that holds what is chosen.
export function chosen() {
  const kept = new URLSearchParams();
  for (const [name, field] of Object.entries(fields)) if (field.value.trim()) kept.set(name, field.value.trim());
  if (byId("mine").checked) kept.set("mine", "1");
  return kept;
}

export function keep() {
  const kept = chosen();
  if (location.search !== `?${kept}`) {
    history.replaceState(history.state, "", `?${kept}`);
    announce();
  }
  store(CONNECTION, fields.conn_id.value.trim());
}
