// Questions to the page's own server, again and again while somebody looks.

import { texts } from "./words.js";

const PAUSE_MS = 5000;
const SHORT_PAUSE_MS = 100; // the server lets a question wait for what is being read

// Answers are `{ answer }`, or `{ fault }`: why there is none. `isAbsent` says that what was asked for does not exist.
export async function ask(address, options) {
  try {
    const reply = await fetch(address, options);
    if (reply.ok) return { answer: await reply.json(), fault: "" };
    if (reply.status === 404) return { answer: null, fault: (await reply.json()).detail, isAbsent: true };
    const fault = [401, 403].includes(reply.status) ? texts.signed_out : texts.no_answer;
    return { answer: null, fault, isForbidden: reply.status === 403 };
  } catch {
    return { answer: null, fault: texts.no_answer };
  }
}

// What is known after an answer, and when it came: a question without one leaves what was known, and what does not exist
// leaves nothing.
export const latest = (last, { answer, fault, isAbsent }) => ({
  answer: isAbsent ? null : (answer ?? last?.answer ?? null),
  fault,
  at: answer || !last ? Date.now() : last.at,
});

// Asks at once and then every few seconds; `take` gets each answer, and says whether there is more to ask for at once.
// Returns how to ask at once again, and how to end it.
export function watch(address, take, pause = PAUSE_MS) {
  let turn = 0;
  let timer = 0;
  const again = async () => {
    clearTimeout(timer);
    const mine = ++turn;
    const answered = await ask(address());
    if (turn !== mine) return; // something else was asked meanwhile
    const isMore = take(answered);
    if (!document.hidden) timer = setTimeout(again, isMore ? SHORT_PAUSE_MS : pause);
  };
  const onVisible = () => (document.hidden ? clearTimeout(timer) : again());
  document.addEventListener("visibilitychange", onVisible);
  again();
  const end = () => {
    turn += 1;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", onVisible);
  };
  return { again, end };
}
