// Shows a table that the stand-in describes, and does what its buttons say. Text is only ever text here.
"use strict";

const LOOK_AGAIN_MS = 2000;
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
const byId = (id) => document.getElementById(id);

let offline = false;
let asked = 0;
let shown = 0;

function say(text, bad = false) {
  byId("said").textContent = text;
  byId("said").className = bad ? "bad" : "";
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function ago(moment, now) {
  const seconds = Math.round((Date.parse(moment) - Date.parse(now)) / 1000);
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? UNITS.at(-1);
  return relative.format(Math.trunc(seconds / size), unit);
}

function fill(element, cell, now) {
  let text = element.firstElementChild;
  if (!text) {
    text = element.appendChild(document.createElement(cell.moment ? "time" : "span"));
    element.appendChild(document.createElement("span")).className = "note";
  }
  if ((text.localName === "time") !== Boolean(cell.moment)) {
    const other = document.createElement(cell.moment ? "time" : "span");
    text.replaceWith(other);
    text = other;
  }
  if (cell.moment) {
    text.dateTime = cell.moment;
    text.title = new Date(cell.moment).toLocaleString();
  }
  setText(text, cell.moment ? ago(cell.moment, now) : cell.text);
  text.className = cell.kind;
  setText(element.lastElementChild, cell.note);
  // On a phone, where each cell is a line, what there is not takes none.
  element.classList.toggle("blank", cell.text === "–");
}

async function act(action, button) {
  // Not `disabled`: that would take the focus away from who uses the keyboard.
  if (button.getAttribute("aria-disabled") === "true") return;
  if (action.asks && !window.confirm(action.asks)) return;
  button.setAttribute("aria-disabled", "true");
  try {
    const answer = await fetch(action.path, {
      method: action.method,
      headers: { "X-Turnout-Page": "1" },
    });
    const document = await answer.json();
    if (answer.ok) say(action.done);
    else say(document.error.message, true);
  } catch {
    say("The stand-in does not answer.", true);
  }
  button.removeAttribute("aria-disabled");
  await look();
}

function fillActions(element, actions) {
  const wanted = JSON.stringify(actions);
  // Buttons that stay the same keep the focus of who uses the keyboard.
  if (element.dataset.wanted === wanted) return;
  const held = element.contains(document.activeElement) ? document.activeElement.dataset.place : undefined;
  element.dataset.wanted = wanted;
  element.replaceChildren(
    ...actions.map((action, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = action.label;
      button.dataset.place = String(place);
      button.setAttribute("aria-label", `${action.label}: ${action.of}`);
      if (action.asks) button.className = "danger";
      button.addEventListener("click", () => act(action, button));
      return button;
    }),
  );
  if (held !== undefined) element.querySelector(`[data-place="${held}"]`)?.focus();
}

function rowOf(key, columns) {
  const row = document.createElement("tr");
  row.dataset.key = key;
  columns.forEach((column, index) => {
    const cell = document.createElement(index ? "td" : "th");
    if (index) cell.dataset.column = column;
    else cell.scope = "row";
    row.append(cell);
  });
  const actions = document.createElement("td");
  actions.className = "actions";
  row.append(actions);
  return row;
}

function show(table) {
  document.title = table.title;
  setText(byId("title"), table.title);
  setText(byId("place"), table.place);
  setText(byId("empty"), table.empty);
  setText(byId("caption"), table.caption);
  byId("empty").hidden = table.rows.length > 0;
  byId("table").hidden = table.rows.length === 0;
  const heads = [...table.columns, "Actions"];
  if (byId("columns").children.length !== heads.length) {
    byId("columns").replaceChildren(
      ...heads.map((head) => {
        const cell = document.createElement("th");
        cell.scope = "col";
        cell.textContent = head;
        return cell;
      }),
    );
  }
  const known = new Map([...byId("rows").children].map((row) => [row.dataset.key, row]));
  table.rows.forEach((described, index) => {
    const row = known.get(described.key) ?? rowOf(described.key, table.columns);
    known.delete(described.key);
    described.cells.forEach((cell, place) => fill(row.children[place], cell, table.now));
    fillActions(row.lastElementChild, described.actions);
    if (byId("rows").children[index] !== row) byId("rows").insertBefore(row, byId("rows").children[index] ?? null);
  });
  known.forEach((row) => row.remove());
}

async function look() {
  const mine = ++asked;
  try {
    const answer = await fetch("/page/table");
    if (!answer.ok) throw new Error(answer.statusText);
    const table = await answer.json();
    // An answer that was overtaken by a later one is old.
    if (mine < shown) return;
    shown = mine;
    show(table);
    if (offline) say("");
    offline = false;
  } catch {
    offline = true;
    say("The stand-in does not answer. It is asked again every two seconds.", true);
  }
}

async function keepLooking() {
  if (!document.hidden) await look();
  setTimeout(keepLooking, LOOK_AGAIN_MS);
}

keepLooking();
