// The panel of the account, which is asked for while it is open; and what results have cost.

import { watch } from "./asking.js";
import { byId, complain, element, write } from "./nodes.js";
import { fill, money, number, span, texts } from "./words.js";

const ACCOUNT_MS = 10000;
const SPEND_MS = 60000;
const panel = byId("account");
let costs = {}; // of batches, by id

export const costOf = (batchId) => (Object.hasOwn(costs, batchId) ? costs[batchId] : null);

const address = (path) => () => `${path}?${new URLSearchParams({ conn_id: byId("connection").value.trim() })}`;

// Writes lines of text; the first is large, if it is an amount.
function fillTile(id, lines, isAmount = true) {
  const shown = lines.filter(Boolean).map((line, index) => element("p", isAmount && !index ? "amount" : "quiet", line));
  byId(id).replaceChildren(...shown);
}

const tiles = {
  region: ({ region, host, currency }) => {
    const own = { cn: texts.region_cn, intl: texts.region_intl }[region];
    return own ? [own] : [texts.gateway, host, fill(texts.billed_in, { currency })];
  },
  balance: ({ amount }, place) => [amount === null ? "" : money(amount, place.currency)],
  files: (files) => [fill(files.is_whole ? texts.files_count : texts.files_at_least, files)],
  models: ({ count, names }) => [number(count), names.join(", ")],
};

// Says whether more of it is being read.
function showAccount({ answer, isAbsent }) {
  if (!answer && !isAbsent) return false; // what is shown stays, and the list says why
  const { is_shown: isShown, is_reading: isReading, place, parts, errors = {}, age_seconds: age, error } = answer ?? {};
  complain(byId("account-fault"), error);
  byId("account-tiles").hidden = !place;
  if (!place) {
    write(byId("account-note"), isShown === false ? texts.account_hidden : isAbsent || error ? "" : texts.reading);
    return false;
  }
  write(byId("account-note"), fill(texts.account_read, { age: span(age) }));
  const known = { region: place, ...parts };
  for (const [name, lines] of Object.entries(tiles)) {
    if (name in known) fillTile(`account-${name}`, lines(known[name], place));
    else fillTile(`account-${name}`, [errors[name] ?? texts.reading], false);
  }
  return isReading;
}

function spentLines({ amounts, unknown }) {
  const lines = Object.entries(amounts).map(([currency, amount]) => money(amount, currency));
  const rest = unknown ? fill(texts.spent_unknown, { count: unknown }) : "";
  return [lines.join(" + ") || texts.spent_nothing, rest];
}

function showSpend({ spent, is_whole: isWhole = true, error }) {
  for (const days of ["7", "30"]) {
    if (spent) fillTile(`spent-${days}`, spentLines(spent[days]));
    else fillTile(`spent-${days}`, [error || texts.reading], false);
  }
  write(byId("spent-note"), [texts.spent_of, isWhole ? "" : texts.spent_newest, spent ? error : ""].filter(Boolean).join(" "));
}

function budgetLines({ error, amount, currency, spent, reserved, left, window }) {
  if (error) return [error];
  const of = { amount: money(amount, currency), spent: money(spent, currency), reserved: money(reserved, currency) };
  return [money(left, currency), fill(texts.budget_stands, of), window];
}

function showBudgets({ answer }) {
  if (!answer) return;
  const shown = answer.budgets.map((budget) => {
    const lines = budgetLines(budget).filter(Boolean).map((line, index) => element("p", index || budget.error ? "quiet" : "amount", line));
    const value = element("dd", "");
    value.append(...lines);
    const tile = element("div", "");
    tile.append(element("dt", "", fill(texts.budget_left, budget)), value);
    return tile;
  });
  byId("budgets").replaceChildren(...shown);
  byId("budgets").hidden = !shown.length;
}

// `onCosts` is called when costs of batches have come.
export function openAccount(onCosts) {
  let account = null;
  let budgets = null;
  const toggle = () => {
    account?.end();
    budgets?.end();
    account = panel.open ? watch(address("account"), showAccount, ACCOUNT_MS) : null;
    budgets = panel.open ? watch(() => "budgets", showBudgets, ACCOUNT_MS) : null;
  };
  const spend = watch(address("spend"), ({ answer }) => {
    if (!answer) return;
    costs = answer.batches ?? costs;
    showSpend(answer);
    onCosts();
  }, SPEND_MS);
  panel.addEventListener("toggle", toggle);
  const begin = () => showAccount({ answer: {} });
  begin();
  showSpend({});
  toggle();
  return {
    again: () => {
      begin();
      spend.again();
      account?.again();
    },
    end: () => {
      panel.removeEventListener("toggle", toggle);
      spend.end();
      account?.end();
      budgets?.end();
    },
  };
}
