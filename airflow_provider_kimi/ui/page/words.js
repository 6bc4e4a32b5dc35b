// Words and numbers in the language and the time zone that Airflow's own UI has chosen.

export const stored = (key) => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
};
export const store = (key, value) => {
  try {
    localStorage.setItem(key, value);
  } catch {
    // The browser keeps nothing for this page.
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
const chosen = locale.startsWith("zh") ? "zh" : "en";
const shownLocale = chosen === "zh" ? locale : "en";
const allTexts = await (await fetch("texts.json")).json();
export const texts = Object.fromEntries(Object.entries(allTexts).map(([key, text]) => [key, text[chosen]]));
document.documentElement.lang = shownLocale;

const zone = (() => {
  try {
    const timeZone = JSON.parse(stored("timezone")) ?? undefined;
    return new Intl.DateTimeFormat("en", { timeZone }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
})();

const numbers = new Intl.NumberFormat(shownLocale, { maximumSignificantDigits: 9 });
export const number = (value) => numbers.format(value);
export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => {
  return typeof values[name] === "string" ? values[name] : number(values[name]);
});
const large = new Intl.NumberFormat(shownLocale, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const small = new Intl.NumberFormat(shownLocale, { maximumSignificantDigits: 2 });
export const money = (amount, currency) => `${(Math.abs(amount) >= 1 ? large : small).format(amount)} ${currency}`;
export const counts = (batch) => fill(batch.has_ended ? texts.counts_ended : texts.counts, batch);
export const statusText = (status) =>
  Object.hasOwn(texts, `status_${status}`) ? texts[`status_${status}`] : status;
export const taskText = ({ dag_id: dagId, task_id: taskId, map_index: index }) =>
  taskId ? `${dagId ?? ""} › ${taskId}${index === null ? "" : ` [${index}]`}` : "";

const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]].map(([unit, size]) => {
  return { size, format: new Intl.NumberFormat(shownLocale, { style: "unit", unit, unitDisplay: "short" }) };
});

export function span(seconds) {
  const { size, format } = units.find((unit) => seconds >= unit.size) ?? units.at(-1);
  return format.format(Math.floor(seconds / size));
}

const bytes = ["megabyte", "kilobyte", "byte"].map((unit) => {
  return new Intl.NumberFormat(shownLocale, { style: "unit", unit, maximumSignificantDigits: 3 });
});
export const size = (count) => {
  const step = count >= 1e6 ? 0 : count >= 1e3 ? 1 : 2;
  return bytes[step].format(count / [1e6, 1e3, 1][step]);
};

const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone };
const days = new Intl.DateTimeFormat("en", { timeZone: zone });
const ofToday = new Intl.DateTimeFormat(shownLocale, time);
const ofAnyDay = new Intl.DateTimeFormat(shownLocale, { month: "short", day: "numeric", ...time });

export function moment(iso) {
  if (!iso) return "";
  const at = new Date(iso);
  return (days.format(at) === days.format(new Date()) ? ofToday : ofAnyDay).format(at);
}
