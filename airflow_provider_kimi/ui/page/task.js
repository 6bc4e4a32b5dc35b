// The view of one task instance: its batches, how far they are, and what it has landed. Airflow shows it as a tab.

import { latest, watch } from "./asking.js";
import { known, link, listFacts } from "./facts.js";
import { byId, complain, write } from "./nodes.js";
import { showResult } from "./result.js";
import { query } from "./route.js";
import { showRows } from "./rows.js";
import { fill, moment, number, span, statusText, taskText, texts } from "./words.js";

const view = byId("task");
const table = view.querySelector("table");
const rows = new Map(); // by batch id
const NAMES = ["dag_id", "run_id", "task_id", "map_index"];
let last = null; // the last answer, and when it came
let asked = ""; // the query that names the task instance

const part = (name) => view.querySelector(`[data-part="${name}"]`);
const list = (name, entries) => listFacts(part(name), entries);
const index = (task) => (task.map_index === null ? "" : ` [${task.map_index}]`);
const ago = (iso) => fill(texts.ago, { age: span(Math.max(0, (Date.now() - new Date(iso)) / 1000)) });

const facts = ({ task, task_path: path, run_path: runPath }) => known([
  [texts.task, link(taskText(task), path)],
  [texts.run, link(task.run_id, runPath)],
  [texts.state, task.state ?? texts.no_state, task.try_number ? fill(texts.try_number, { number: task.try_number }) : ""],
  [texts.operator, task.operator],
]);

function progress({ progress: found, is_waiting: waits }) {
  if (!found) return waits ? [[texts.last_poll, texts.no_poll]] : [];
  const { to_come: toCome, polled_at: polledAt } = found;
  const batches = Object.entries(found.statuses).map(([status, count]) => `${number(count)} ${statusText(status)}`);
  if (toCome) batches.push(fill(texts.to_come, { count: toCome }));
  return known([
    [texts.rows, found.total ? fill(texts.counts, found) : ""],
    [texts.batches, batches.join(", ")],
    [texts.speed, waits && found.rows_per_minute !== null ? number(found.rows_per_minute) : ""],
    [texts.end, waits ? moment(found.expected_end) : ""],
    [texts.last_poll, polledAt ? moment(polledAt) : texts.no_poll, polledAt ? ago(polledAt) : ""],
  ]);
}

function outcomes({ outcomes: found, batches }) {
  const sum = (name) => batches.reduce((all, batch) => all + batch[name], 0);
  const counts = { done: sum("done"), remaining: sum("remaining"), total: sum("total") };
  return Object.entries(found).flatMap(([act, words]) => words.map((word) => [texts[`act_${act}`], fill(texts[word], counts)]));
}

function none({ task, batches, error }) {
  if (batches.length) return batches.some((batch) => batch.status === "unknown") ? texts.not_listed : "";
  if (error) return "";
  if (task.state === "awaiting_input") return texts.awaits_approval;
  return task.is_waiting ? texts.no_batch_yet : texts.no_batch;
}

function show() {
  const answer = last?.answer;
  const isOurs = answer?.task.is_ours;
  write(part("name"), answer ? `${answer.task.task_id}${index(answer.task)}` : asked.get("task_id"));
  complain(part("error"), last?.fault || answer?.error);
  part("body").hidden = !isOurs;
  part("other").hidden = !answer || isOurs;
  const age = answer?.age_seconds ?? null;
  const seconds = last && age !== null ? age + (Date.now() - last.at) / 1000 : 0;
  write(part("read"), last ? (isOurs && age !== null ? fill(texts.read_ago, { age: span(seconds) }) : "") : texts.reading);
  if (!isOurs) return;
  list("facts", facts(answer));
  list("progress", progress(answer.task));
  write(part("none"), none(answer));
  showRows(table.querySelector("tbody"), rows, answer.batches, seconds, answer.conn_id);
  table.hidden = !answer.batches.length;
  list("outcomes", outcomes(answer));
  showResult(part("result"), answer.task.result, answer.replay_path);
}

function take(answered) {
  last = latest(last, answered);
  show();
}

export function open() {
  asked = new URLSearchParams(NAMES.map((name) => [name, query().get(name) ?? ""]));
  last = null;
  show();
  const watched = watch(() => `task?${asked}`, take);
  const clock = setInterval(show, 1000);
  return () => {
    clearInterval(clock);
    watched.end();
  };
}
