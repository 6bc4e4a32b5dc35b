// Rows of the table of batches: one for each batch, kept over refreshes so that the focus stays where it is.

import { element, leadInto, write } from "./nodes.js";
import { counts, fill, moment, money, number, span, statusText, taskText, texts } from "./words.js";

function makeRow() {
  const row = element("tr");
  const labels = ["batch", "status", "rows", "speed", "end", "age", "task"];
  const cells = Object.fromEntries(labels.map((label) => {
    const cell = element("td");
    cell.dataset.label = texts[label];
    const content = element("div");
    cell.append(content);
    row.append(cell);
    return [label, content];
  }));
  const part = (cell, name, className) => {
    const made = element(name, className);
    cells[cell].append(made);
    return made;
  };
  for (const label of ["speed", "end", "age"]) cells[label].parentElement.classList.add("number");
  const bar = makeBar();
  cells.rows.append(bar);
  return {
    row, cells, bar,
    id: part("batch", "a", "clip mono"),
    model: part("batch", "span", "clip quiet"),
    badge: part("status", "span"),
    counts: part("rows", "span", "quiet"),
    cost: part("rows", "div", "quiet"),
    task: part("task", "a", "clip"),
    run: part("task", "span", "clip quiet"),
  };
}

function costText(cost) {
  if (!cost) return "";
  const { amount, currency, tokens, batches } = cost;
  const price = amount === null ? texts.cost_unknown : money(amount, currency);
  const text = tokens === null ? price : fill(texts.batch_cost, { tokens, cost: price });
  return batches > 1 ? fill(texts.of_result, { cost: text, batches }) : text;
}

export function makeBar() {
  const bar = element("div", "bar");
  bar.setAttribute("aria-hidden", "true");
  bar.append(element("span", "done"), element("span", "failed"));
  return bar;
}

export function showBar(bar, batch) {
  const [done, failed] = bar.children;
  const share = (count) => `${batch.total ? Math.min(100, (100 * count) / batch.total) : 0}%`;
  done.style.width = share(batch.done);
  failed.style.width = share(batch.failed);
  bar.hidden = !batch.total;
}

export function showStatus(badge, status) {
  write(badge, statusText(status));
  badge.className = `badge clip ${/^[a-z_]+$/.test(status) ? status : ""}`;
}

// Rows for batches, in their order; those that are there already are kept.
// `costOf` says what the result of a batch has cost, if that is known.
export function showRows(body, rows, batches, seconds, connection, costOf = () => undefined) {
  const kept = new Set(batches.map((batch) => batch.id));
  for (const [id, shown] of rows) {
    if (kept.has(id)) continue;
    shown.row.remove();
    rows.delete(id);
  }
  let next = body.firstElementChild;
  for (const batch of batches) {
    if (!rows.has(batch.id)) rows.set(batch.id, makeRow());
    const shown = rows.get(batch.id);
    showBatch(shown, batch, seconds, connection, costOf(batch.id));
    if (shown.row === next) next = next.nextElementSibling;
    else body.insertBefore(shown.row, next);
  }
}

function showBatch(shown, batch, seconds, connection, cost) {
  write(shown.id, batch.id);
  shown.id.title = batch.id;
  shown.id.href = `?${new URLSearchParams({ batch: batch.id, conn_id: connection })}`;
  write(shown.model, batch.model ?? "");
  showStatus(shown.badge, batch.status);
  showBar(shown.bar, batch);
  write(shown.counts, batch.total ? counts(batch) : "");
  write(shown.cost, costText(cost));
  const runs = !batch.has_ended;
  write(shown.cells.speed, runs && batch.rows_per_minute !== null ? number(batch.rows_per_minute) : "");
  write(shown.cells.end, runs ? moment(batch.expected_end) : "");
  write(shown.cells.age, batch.age_seconds === null ? "" : span(batch.age_seconds + seconds));
  write(shown.task, taskText(batch));
  shown.task.title = shown.task.textContent;
  leadInto(shown.task, batch.task_path);
  write(shown.run, batch.run_id ?? "");
  shown.run.title = batch.run_id ?? "";
  for (const content of Object.values(shown.cells)) content.parentElement.classList.toggle("empty", !content.textContent);
}
