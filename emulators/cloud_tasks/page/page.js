"use strict";

const EVERY_MS = 1500;
const byId = (id) => document.getElementById(id);
let chosen = decodeURIComponent(location.hash.slice(1));
let shown = null;
let asking = null;
let acting = 0;

/** Puts rows into a list by their keys: what stays keeps its elements, and with them the focus. */
function fill(list, items, keyOf, make, update) {
  const old = new Map([...list.children].map((element) => [element.dataset.key, element]));
  let before = null;
  for (const item of items) {
    const key = keyOf(item);
    const element = old.get(key) ?? make(item);
    old.delete(key);
    element.dataset.key = key;
    update(element, item);
    const place = before ? before.nextSibling : list.firstChild;
    if (place !== element) list.insertBefore(element, place);
    before = element;
  }
  for (const element of old.values()) element.remove();
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function cell(row, label, className = "") {
  const made = row.insertCell();
  made.dataset.label = label;
  made.className = className;
  return made;
}

function button(text, className, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.className = className;
  made.addEventListener("click", act);
  return made;
}

function moment(us) {
  return new Date(us / 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

function duration(us) {
  const seconds = Math.abs(us) / 1e6;
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 120) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

function count(number, one, many) {
  return `${number.toLocaleString()} ${number === 1 ? one : many}`;
}

function next(task, now, paused) {
  if (task.running) return "running";
  if (task.schedule_us > now) return `in ${duration(task.schedule_us - now)}`;
  return paused ? "due, but the queue is paused" : "due";
}

function showQueues(page) {
  byId("no-queues").hidden = page.queues.length > 0;
  fill(byId("queues"), page.queues, (queue) => queue.name, () => {
    const item = document.createElement("li");
    const link = item.appendChild(document.createElement("a"));
    link.append(document.createElement("strong"), document.createElement("small"));
    return item;
  }, (item, queue) => {
    const link = item.firstChild;
    link.href = `#${encodeURIComponent(queue.name)}`;
    if (queue.name === page.queue) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    say(link.children[0], queue.id);
    const state = queue.paused ? "paused" : queue.running ? `${queue.running} running` : "";
    say(link.children[1], [count(queue.tasks, "task", "tasks"), state, queue.location].filter(Boolean).join(" · "));
  });
}

function showQueue(page) {
  const queue = page.queues.find((each) => each.name === page.queue);
  byId("queue").hidden = !queue;
  if (!queue) return;
  say(byId("queue-title"), queue.id);
  const slowed = queue.throttle < 1 ? `slowed to ${Number((queue.per_second * queue.throttle).toPrecision(3))}/s by its target's errors` : "";
  say(byId("queue-about"), [
    queue.paused ? "Paused" : "Running", `at most ${queue.per_second}/s`, slowed, queue.location,
  ].filter(Boolean).join(" · "));
  say(byId("pause"), queue.paused ? "Resume" : "Pause");
  byId("pause").dataset.act = queue.paused ? "resume" : "pause";
}

function showTasks(page) {
  const queue = page.queues.find((each) => each.name === page.queue);
  const body = byId("tasks").tBodies[0];
  byId("tasks").hidden = !page.tasks.length;
  byId("no-tasks").hidden = page.tasks.length > 0;
  const more = (queue?.tasks ?? 0) - page.tasks.length;
  byId("more-tasks").hidden = !page.tasks.length || more < 1;
  say(byId("more-tasks"), `${count(more, "more task", "more tasks")} after these; the API lists all.`);
  fill(body, page.tasks, (task) => task.name, (task) => {
    const row = document.createElement("tr");
    cell(row, "Task").append(button(task.id, "plain", () => details(task.name)));
    for (const label of ["Next dispatch", "Attempts", "Last answer"]) cell(row, label);
    cell(row, "", "doing").append(
      button("Run now", "", () => act("POST", `${task.name}:run`)),
      button("Delete", "grave", () => act("DELETE", task.name, `Delete task ${task.id}?`)),
    );
    for (const each of row.lastChild.children) each.setAttribute("aria-label", `${each.textContent} ${task.id}`);
    return row;
  }, (row, task) => {
    say(row.cells[1], next(task, page.now_us, queue?.paused));
    row.cells[1].title = moment(task.schedule_us);
    say(row.cells[2], String(task.attempts));
    say(row.cells[3], task.previous < 0 ? "none yet" : String(task.previous));
    row.cells[3].className = task.previous < 0 ? "" : "bad";
  });
}

function showAttempts(page) {
  byId("attempts").hidden = !page.attempts.length;
  byId("no-attempts").hidden = page.attempts.length > 0;
  fill(byId("attempts").tBodies[0], page.attempts, (each) => `${each.task}/${each.number}/${each.dispatch_us}`, (each) => {
    const row = document.createElement("tr");
    for (const label of ["Task", "When", "Attempt", "Answer", "Took", "Request"]) cell(row, label);
    const good = each.status >= 200 && each.status < 300;
    say(row.cells[0], each.task);
    row.cells[1].title = moment(each.dispatch_us);
    say(row.cells[2], String(each.number));
    say(row.cells[3], each.status ? String(each.status) : each.fault);
    row.cells[3].className = good ? "good" : "bad";
    say(row.cells[4], duration(each.response_us - each.dispatch_us));
    say(row.cells[5], each.method ? `${each.method} ${each.url}` : "none");
    for (const index of [0, 3, 5]) row.cells[index].title = row.cells[index].textContent;
    return row;
  }, (row, each) => say(row.cells[1], `${duration(page.now_us - each.dispatch_us)} ago`));
}

function show(page) {
  shown = page;
  showQueues(page);
  showQueue(page);
  showTasks(page);
  showAttempts(page);
}

async function ask() {
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const answer = await fetch(`/page/overview?queue=${encodeURIComponent(chosen)}`, {
      signal: AbortSignal.any([mine.signal, AbortSignal.timeout(10000)]),
    });
    const page = await answer.json();
    if (mine.signal.aborted) return;
    if (!answer.ok) throw new Error(page.error.message);
    if (chosen && page.queue !== chosen) {
      chosen = "";
      history.replaceState(null, "", location.pathname);
    }
    if (!acting) say(byId("note"), "");
    show(page);
  } catch (fault) {
    if (!mine.signal.aborted) say(byId("note"), "The stand-in does not answer; trying again.");
  }
}

/** One call of the API, such as POST and `queues/q:pause`. */
async function act(method, name, question = "") {
  if (question && !confirm(question)) return;
  acting += 1;
  let fault = "";
  try {
    const answer = await fetch(`/v2/${name}`, { method, headers: { "X-Turnout-Page": "1" } });
    if (!answer.ok) fault = (await answer.json()).error.message;
  } catch {
    fault = "The stand-in does not answer; nothing was done.";
  }
  say(byId("note"), fault);
  await ask();
  // A refusal stays long enough to be read.
  setTimeout(() => { acting -= 1; }, fault ? 6000 : 0);
}

async function details(name) {
  const answer = await fetch(`/v2/${name}?responseView=FULL`);
  const task = await answer.json();
  if (!answer.ok) {
    say(byId("note"), task.error.message);
    return;
  }
  const request = task.httpRequest ?? task.appEngineHttpRequest;
  if (request?.body) {
    const bytes = Uint8Array.from(atob(request.body), (letter) => letter.charCodeAt(0));
    request.body = new TextDecoder().decode(bytes);
  }
  say(byId("details-title"), name.slice(name.lastIndexOf("/") + 1));
  say(byId("details-text"), JSON.stringify(task, null, 2));
  byId("details").showModal();
}

byId("pause").addEventListener("click", (event) => act("POST", `${shown.queue}:${event.currentTarget.dataset.act}`));
byId("purge").addEventListener("click", () => act("POST", `${shown.queue}:purge`, "Purge the queue: delete all of its tasks?"));
byId("delete-queue").addEventListener("click", () => act(
  "DELETE", shown.queue, "Delete the queue with all of its tasks? Its name cannot be used again for 3 days.",
));
addEventListener("hashchange", () => {
  chosen = decodeURIComponent(location.hash.slice(1));
  ask();
});
addEventListener("visibilitychange", () => document.hidden || ask());
setInterval(() => document.hidden || ask(), EVERY_MS);
ask();
