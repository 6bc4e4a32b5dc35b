// The page. Its address names the view: each has a section of the page, and `open`, which returns how to close it.

import * as batch from "./batch.js";
import * as batches from "./batches.js";
import { onRoute, query } from "./route.js";
import "./theme.js";
import * as task from "./task.js";
import { texts } from "./words.js";

for (const node of document.querySelectorAll("[data-text]")) node.textContent = texts[node.dataset.text];
document.title = texts.title;

const views = { batch, batches, task };
let close = () => {};

onRoute(() => {
  const name = query().has("batch") ? "batch" : query().has("task_id") ? "task" : "batches";
  close();
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== name;
  close = views[name].open();
});
