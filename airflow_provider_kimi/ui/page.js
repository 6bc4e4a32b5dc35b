// The page of batches. Whatever a batch holds is only ever set as text, never as HTML.

const PAUSE_MS = 5000;
const CONNECTION = "kimi-batches-connection";

const host = window.parent === window ? null : window.parent; // Airflow, if it shows the page in a frame
const byId = (id) => document.getElementById(id);
const table = document.querySelector("table");
const body = document.querySelector("tbody");
const rows = new Map(); // by batch id
let last = null; // the last answer, and when it came
let fault = ""; // why the last question had no answer
let asked = 0;
let timer = 0;

// What Airflow's own UI has chosen: its language, its time zone, its theme

const stored = (key) => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
};
const language = stored("i18nextLng") || navigator.language || "en";
const locale = (() => {
  try {
    return Intl.getCanonicalLocales(language)[0];
  } catch {
    return "en";
  }
})();
const allTexts = await (await fetch("texts.json")).json();
const texts = locale.startsWith("zh") ? allTexts.zh : allTexts.en;
const shownLocale = locale.startsWith("zh") ? locale : "en";
document.documentElement.lang = shownLocale;

const zone = (() => {
  try {
    const timeZone = JSON.parse(stored("timezone")) ?? undefined;
    return new Intl.DateTimeFormat("en", { timeZone }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
})();

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
function takeTheme() {
  const chosen = host?.document.documentElement.classList;
  const theme = chosen?.contains("dark") ? "dark" : chosen?.contains("light") ? "light" : stored("theme");
  const isDark = theme === "dark" || (theme !== "light" && prefersDark.matches);
  document.documentElement.classList.toggle("dark", isDark);
}
takeTheme();
prefersDark.addEventListener("change", takeTheme);
window.addEventListener("storage", takeTheme);
if (host) new MutationObserver(takeTheme).observe(host.document.documentElement, { attributeFilter: ["class"] });

// Words and numbers

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const numbers = new Intl.NumberFormat(shownLocale, { maximumSignificantDigits: 9 });
const number = (value) => numbers.format(value);
const statusText = (status) =>
  Object.hasOwn(texts, `status_${status}`) ? texts[`status_${status}`] : status;

const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]].map(([unit, size]) => {
  return { size, format: new Intl.NumberFormat(shownLocale, { style: "unit", unit, unitDisplay: "short" }) };
});

function span(seconds) {
  const { size, format } = units.find((unit) => seconds >= unit.size) ?? units.at(-1);
  return format.format(Math.floor(seconds / size));
}

const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone };
const days = new Intl.DateTimeFormat("en", { timeZone: zone });
const ofToday = new Intl.DateTimeFormat(shownLocale, time);
const ofAnyDay = new Intl.DateTimeFormat(shownLocale, { month: "short", day: "numeric", ...time });

function moment(iso) {
  if (!iso) return "";
  const at = new Date(iso);
  return (days.format(at) === days.format(new Date()) ? ofToday : ofAnyDay).format(at);
}

// Rows: one for each batch, kept over refreshes so that the focus stays where it is

function element(name, className) {
  const made = document.createElement(name);
  if (className) made.className = className;
  return made;
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

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
  const bar = element("div", "bar");
  bar.setAttribute("aria-hidden", "true");
  bar.append(element("span", "done"), element("span", "failed"));
  cells.rows.append(bar);
  return {
    row, cells, bar,
    id: part("batch", "span", "clip mono"),
    model: part("batch", "span", "quiet"),
    badge: part("status", "span"),
    counts: part("rows", "span", "quiet"),
    task: part("task", "a", "clip"),
    run: part("task", "span", "clip quiet"),
  };
}

function showBatch(shown, batch, seconds) {
  write(shown.id, batch.id);
  shown.id.title = batch.id;
  write(shown.model, batch.model ?? "");
  write(shown.badge, statusText(batch.status));
  shown.badge.className = `badge clip ${/^[a-z_]+$/.test(batch.status) ? batch.status : ""}`;
  const [done, failed] = shown.bar.children;
  const share = (count) => `${batch.total ? Math.min(100, (100 * count) / batch.total) : 0}%`;
  done.style.width = share(batch.done);
  failed.style.width = share(batch.failed);
  const counts = { done: batch.done, total: batch.total, failed: batch.failed, remaining: batch.remaining };
  const inWords = Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, number(count)]));
  shown.bar.hidden = !batch.total;
  write(shown.counts, batch.total ? fill(texts.counts, inWords) : "");
  const runs = !batch.has_ended;
  write(shown.cells.speed, runs && batch.rows_per_minute !== null ? number(batch.rows_per_minute) : "");
  write(shown.cells.end, runs ? moment(batch.expected_end) : "");
  write(shown.cells.age, batch.age_seconds === null ? "" : span(batch.age_seconds + seconds));
  const index = batch.map_index === null ? "" : ` [${batch.map_index}]`;
  write(shown.task, batch.task_id ? `${batch.dag_id ?? ""} › ${batch.task_id}${index}` : "");
  shown.task.title = shown.task.textContent;
  if (batch.task_path) shown.task.href = new URL(`../${batch.task_path}`, document.baseURI).href;
  else shown.task.removeAttribute("href");
  write(shown.run, batch.run_id ?? "");
  shown.run.title = batch.run_id ?? "";
  for (const content of Object.values(shown.cells)) content.parentElement.classList.toggle("empty", !content.textContent);
}

function wanted(batches) {
  const status = byId("status").value;
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const names = ["id", "model", "dag_id", "run_id", "task_id", "status"];
  return batches.filter((batch) => {
    const text = names.map((name) => batch[name] ?? "").join(" ").toLowerCase();
    return (!status || batch.status === status) && words.every((word) => text.includes(word));
  });
}

function offerStatuses(batches) {
  const select = byId("status");
  const offered = new Set([...select.options].map((option) => option.value));
  for (const status of new Set(batches.map((batch) => batch.status))) {
    if (offered.has(status)) continue;
    const option = element("option");
    option.value = status;
    option.textContent = statusText(status);
    select.append(option);
  }
}

const sinceAnswer = () => (Date.now() - last.at) / 1000;

function show() {
  if (last === null) return sumUp();
  const { batches, age_seconds: age } = last.answer;
  const visible = wanted(batches);
  const kept = new Set(visible.map((batch) => batch.id));
  for (const [id, shown] of rows) {
    if (kept.has(id)) continue;
    shown.row.remove();
    rows.delete(id);
  }
  let next = body.firstElementChild;
  for (const batch of visible) {
    if (!rows.has(batch.id)) rows.set(batch.id, makeRow());
    const shown = rows.get(batch.id);
    showBatch(shown, batch, (age ?? 0) + sinceAnswer());
    if (shown.row === next) next = next.nextElementSibling;
    else body.insertBefore(shown.row, next);
  }
  table.hidden = !visible.length;
  sumUp();
}

function sumUp() {
  complain(fault || last?.answer.error);
  if (last === null) return;
  const { batches, age_seconds: age, is_whole: isWhole, error } = last.answer;
  const counts = { shown: number(rows.size), count: number(batches.length), age: span((age ?? 0) + sinceAnswer()) };
  const summary = [age === null ? (fault || error ? "" : texts.reading) : fill(texts.shown, counts)];
  if (age !== null && !batches.length) summary[0] = texts.none;
  if (!isWhole) summary.push(texts.not_whole);
  write(byId("summary"), summary.join(" "));
}

function complain(text) {
  write(byId("error"), text || "");
  byId("error").hidden = !text;
}

// Answers

const nothing = () => ({ batches: [], age_seconds: null, is_whole: true, error: "" });

async function ask() {
  clearTimeout(timer);
  const turn = ++asked;
  const query = new URLSearchParams({ conn_id: byId("connection").value.trim() });
  const [answer, complaint] = await answerTo(`batches?${query}`);
  if (turn !== asked) return; // another connection was chosen meanwhile
  fault = complaint;
  if (answer) {
    last = { answer, at: Date.now() };
    offerStatuses(answer.batches);
  }
  show();
  if (!document.hidden) timer = setTimeout(ask, PAUSE_MS);
}

async function answerTo(address) {
  try {
    const reply = await fetch(address);
    if (reply.ok) return [await reply.json(), ""];
    if (reply.status === 404) return [nothing(), (await reply.json()).detail];
    return [null, [401, 403].includes(reply.status) ? texts.signed_out : texts.no_answer];
  } catch {
    return [null, texts.no_answer];
  }
}

// The frame may not navigate Airflow itself; a link of Airflow's own document may.
function follow(event) {
  const link = event.target.closest("a[href]");
  if (!link || !host || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const outer = host.document.createElement("a");
  outer.href = link.href;
  host.document.body.append(outer);
  outer.click();
  outer.remove();
}

for (const node of document.querySelectorAll("[data-text]")) node.textContent = texts[node.dataset.text];
document.title = texts.title;
byId("connection").value = stored(CONNECTION) || "kimi_default";
byId("connection").addEventListener("change", () => {
  localStorage.setItem(CONNECTION, byId("connection").value.trim());
  last = { answer: nothing(), at: Date.now() };
  fault = "";
  show();
  ask();
});
byId("status").addEventListener("change", show);
byId("search").addEventListener("input", show);
body.addEventListener("click", follow);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
write(byId("summary"), texts.reading);
setInterval(sumUp, 1000);
ask();
