// The view of one batch, and its cancel.

import { ask, latest, watch } from "./asking.js";
import { known, link, listFacts } from "./facts.js";
import { chosen } from "./filters.js";
import { byId, complain, write } from "./nodes.js";
import { showResult } from "./result.js";
import { query } from "./route.js";
import { showBar, showStatus } from "./rows.js";
import { counts, fill, moment, number, size, span, statusText, taskText, texts } from "./words.js";

const view = byId("batch");
const dialog = byId("cancel");
let last = null; // the last answer, and when it came
let asked = null; // the id and the connection that the address names
let watched = null;

const part = (name) => view.querySelector(`[data-part="${name}"]`);
const address = () => `batch?${new URLSearchParams({ batch: asked.id, conn_id: asked.connection })}`;

const list = (name, entries) => listFacts(part(name), entries);

function facts(batch) {
  const runs = !batch.has_ended;
  return known([
    [texts.task, batch.task_id ? link(taskText(batch), batch.task_path) : texts.of_nobody],
    [texts.run, batch.run_id && link(batch.run_id, batch.run_path)],
    [texts.model, batch.model],
    [texts.window, batch.completion_window],
    [texts.speed, runs && batch.rows_per_minute !== null ? number(batch.rows_per_minute) : ""],
    [texts.end, runs ? moment(batch.expected_end) : ""],
  ]);
}

function times(batch, seconds) {
  const rows = batch.times.map(({ status, at, seconds: lasted }, number) => {
    const goesOn = !batch.has_ended && number === batch.times.length - 1;
    const since = lasted === null ? "" : span(lasted + (goesOn ? seconds : 0));
    return [status === "created" ? texts.created : statusText(status), moment(at), since];
  });
  return batch.expires_at ? [...rows, [texts.expires, moment(batch.expires_at)]] : rows;
}

function errors(answer) {
  const { batch, errors: found } = answer;
  if (batch.status === "failed" && !batch.files.some(({ kind }) => kind === "error")) return [[texts.errors, texts.no_error_file]];
  if (!found) return [];
  if (found.error) return [[texts.errors, found.error]];
  const codes = found.codes.map(({ code, count, lines }) => {
    return [code, fill(texts.times_found, { count }), lines.length ? fill(texts.in_lines, { lines: lines.join(", ") }) : ""];
  });
  return found.is_whole ? codes : [...codes, [texts.errors, codes.length ? texts.more_errors : texts.reading_errors]];
}

function outcomes(batch) {
  const words = Object.entries(batch.outcomes).map(([act, word]) => [texts[`act_${act}`], fill(texts[word], batch)]);
  return batch.is_ours ? words : [[texts.owner, texts.of_stranger], ...words];
}

function show() {
  const answer = last?.answer;
  const batch = answer?.batch;
  write(part("id"), batch?.id ?? asked.id);
  complain(part("error"), last?.fault || answer?.error);
  part("body").hidden = !batch;
  if (!batch) return write(part("read"), last && (last.fault || answer?.error) ? "" : texts.reading);
  const seconds = (answer.age_seconds ?? 0) + (Date.now() - last.at) / 1000;
  write(part("read"), fill(texts.read_ago, { age: span(seconds) }));
  showStatus(part("badge"), batch.status);
  showBar(part("bar"), batch);
  write(part("counts"), batch.total ? counts(batch) : texts.no_counts);
  part("open").hidden = !batch.may_cancel;
  list("times", times(batch, seconds));
  list("facts", facts(batch));
  list("outcomes", outcomes(batch));
  list("errors", errors(answer));
  list("files", batch.files.map(({ kind, id, bytes }) => [texts[`file_${kind}`], id, bytes === null ? "" : size(bytes)]));
  list("metadata", batch.metadata);
  showResult(part("result"), answer.result, answer.replay_path);
  if (dialog.open && !batch.may_cancel) dialog.close();
}

function take(answered) {
  last = latest(last, answered);
  show();
}

function offer() {
  const batch = last.answer.batch;
  write(part("price"), fill(texts[batch.outcomes.cancel], batch));
  write(part("then"), texts.after_cancel);
  write(part("instead"), batch.is_ours ? texts.cancel_instead : "");
  complain(part("refusal"), "");
  dialog.showModal();
  part("keep").focus();
}

async function cancel() {
  const path = `batches/${encodeURIComponent(asked.id)}/cancel?${new URLSearchParams({ conn_id: asked.connection })}`;
  const buttons = [part("confirm"), part("keep")];
  for (const button of buttons) button.disabled = true;
  const mine = asked;
  const answered = await ask(path, { method: "POST", headers: { "X-Requested-With": "kimi-batches" } });
  for (const button of buttons) button.disabled = false;
  if (mine !== asked) return;
  const refusal = answered.isForbidden ? texts.may_not_cancel : answered.fault || answered.answer.error;
  if (answered.answer) take(answered);
  complain(part("refusal"), refusal);
  if (!refusal) {
    dialog.close();
    part("title").focus();
  }
  watched.again();
}

part("open").addEventListener("click", offer);
part("keep").addEventListener("click", () => dialog.close());
part("confirm").addEventListener("click", cancel);
dialog.addEventListener("cancel", (event) => part("confirm").disabled && event.preventDefault()); // Escape, while it is sent

export function open() {
  asked = { id: query().get("batch"), connection: query().get("conn_id") || "kimi_default" };
  last = null;
  const back = chosen(); // the list as it was left
  back.set("conn_id", asked.connection);
  part("back").href = `?${back}`;
  show();
  part("title").focus();
  watched = watch(address, take);
  const clock = setInterval(show, 1000);
  return () => {
    clearInterval(clock);
    watched.end();
    dialog.close();
    asked = null;
  };
}
