// The view of all batches of a connection.

import { costOf, openAccount } from "./account.js";
import { watch } from "./asking.js";
import { keep, offerChoices, offerConnections, restore, wanted } from "./filters.js";
import { byId, complain, write } from "./nodes.js";
import { showRows } from "./rows.js";
import { fill, span, texts } from "./words.js";

const table = document.querySelector("#batches table");
const body = table.querySelector("tbody");
const rows = new Map(); // by batch id
const ROWS_AT_ONCE = 50;
let most = ROWS_AT_ONCE; // rows that are drawn; more when their end comes into sight
let found = 0; // batches that are wanted
let last = null; // the last answer, and when it came
let fault = ""; // why the last question had no answer
let watched = null;
let account = null;

const sinceAnswer = () => (Date.now() - last.at) / 1000;

const atEnd = new IntersectionObserver(([{ isIntersecting }]) => {
  if (!isIntersecting) return;
  most += ROWS_AT_ONCE;
  show();
}, { rootMargin: "0px 0px 800px" });

function show() {
  if (last === null) return sumUp();
  const { batches, age_seconds: age } = last.answer;
  const all = wanted(batches);
  found = all.length;
  const visible = all.slice(0, most);
  showRows(body, rows, visible, (age ?? 0) + sinceAnswer(), byId("connection").value.trim(), costOf);
  table.hidden = !visible.length;
  atEnd.disconnect();
  if (most < found) atEnd.observe(byId("end"));
  sumUp();
}

function narrow() {
  most = ROWS_AT_ONCE;
  show();
}

function sumUp() {
  complain(byId("error"), fault || last?.answer.error);
  if (last === null) return;
  const { batches, age_seconds: age, is_whole: isWhole, is_reading: isReading, error } = last.answer;
  const counts = { shown: found, count: batches.length, age: span((age ?? 0) + sinceAnswer()) };
  const summary = [age === null ? (fault || error ? "" : texts.reading) : fill(texts.shown, counts)];
  if (age !== null && !batches.length) summary[0] = texts.none;
  if (isReading) summary.push(texts.reading_more);
  else if (!isWhole) summary.push(texts.not_whole);
  write(byId("summary"), summary.join(" "));
}

const nothing = () => ({ batches: [], age_seconds: null, is_whole: true, error: "" });

function take({ answer, fault: complaint, isAbsent }) {
  fault = complaint;
  if (answer || isAbsent) last = { answer: answer ?? nothing(), at: Date.now() };
  if (answer) offerChoices(answer.batches);
  show();
  return answer?.is_reading;
}

const address = () => `batches?${new URLSearchParams({ conn_id: byId("connection").value.trim() })}`;

function chooseConnection() {
  keep();
  last = { answer: nothing(), at: Date.now() };
  fault = "";
  narrow();
  watched.again();
  account.again();
}

function choose() {
  keep();
  narrow();
}

byId("connection").addEventListener("change", chooseConnection);
for (const name of ["status", "dag", "mine", "search"]) byId(name).addEventListener("change", choose);
byId("search").addEventListener("input", narrow);
write(byId("summary"), texts.reading);

export function open() {
  restore();
  keep();
  offerConnections();
  show();
  watched = watch(address, take);
  account = openAccount(show);
  const clock = setInterval(sumUp, 1000);
  return () => {
    clearInterval(clock);
    watched.end();
    account.end();
  };
}
