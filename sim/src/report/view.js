"use strict";

// Draws a run: clients and sectors over time, and what there is at one step. Everything is put in
// as text, never as HTML, and nothing is fetched.

const data = JSON.parse(document.getElementById("data").textContent);
const last = data.events.length - 1;

// Below this a column has no room for a name, and above it a page shows less than it could.
const NARROWEST = 30;
const WIDEST = 190;
const TINTS = 6;
const PATTERNS = 4;

function make(tag, classes, text, parent) {
  const element = document.createElement(tag);
  element.className = classes;
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

function columnWidth(map) {
  const label = parseFloat(getComputedStyle(map).getPropertyValue("--label")) * 16;
  const fair = Math.floor((map.clientWidth - label) / data.events.length);
  return Math.min(WIDEST, Math.max(NARROWEST, fair));
}

const map = document.getElementById("map");
const width = columnWidth(map);

function place(element, from, to) {
  element.style.left = `${from * width}px`;
  if (to !== undefined) element.style.width = `${(to - from) * width}px`;
  return element;
}

// Writes in the order in which they are met get a colour each, and then a pattern besides.
const writers = [...new Set(data.contents.filter((it) => it.op).map((it) => it.op))];

function lookOf(content) {
  if (content.kind !== "write") return content.kind;
  const at = writers.indexOf(content.op);
  return `tint${at % TINTS} pattern${Math.floor(at / TINTS) % PATTERNS}`;
}

function cell(number, parent) {
  const content = data.contents[number];
  const element = make("span", `cell ${lookOf(content)}`, undefined, parent);
  make("span", "", content.label, element);
  return element;
}

function sectorsOf(row) {
  return row.count === 1 ? `${row.first}` : `${row.first}–${row.first + row.count - 1}`;
}

// The index of the cell that a row shows at a step.
function cellAt(row, step) {
  let at = 0;
  while (at + 1 < row.cells.length && row.cells[at + 1][0] <= step) at += 1;
  return at;
}

function track(kind, label) {
  const row = make("div", `row ${kind}`);
  const named = make("div", "label", undefined, row);
  if (kind.startsWith("sector")) {
    // Where a number is long, or a range on a phone, it has to do without.
    if (label.length < 9) make("span", label.includes("–") ? "spacious" : "", "sector ", named);
    named.append(label);
    named.title = `sector ${label}`;
    make("small", "", "durable", named);
  } else named.append(label);
  const line = make("div", "track", undefined, row);
  line.style.width = `${data.events.length * width}px`;
  return [row, line];
}

function ruler() {
  const [row, line] = track("ruler", "step");
  const every = data.events.length > 400 ? 10 : data.events.length > 60 ? 5 : 1;
  for (let step = 0; step <= last; step += every) {
    place(make("span", "tick", step, line), step, step + 1);
  }
  return row;
}

// Where epochs begin: at the start, and after every successful sync and every power failure.
function epochStarts() {
  const ends = data.events.flatMap((event, at) =>
    event.class === "synced" || event.class === "crash" ? [at + 1] : []);
  return [0, ...ends].filter((at, index, all) => at <= last && at !== all[index + 1]);
}

function epochs() {
  const [row, line] = track("epochs", "epoch");
  const starts = epochStarts();
  starts.forEach((start, at) => {
    const epoch = make("div", "epoch", undefined, line);
    make("span", "", `epoch ${at}`, epoch);
    place(epoch, start, at + 1 < starts.length ? starts[at + 1] : last + 1);
  });
  return row;
}

// The operation whose event this is, while it is under way.
function operationAt(event, at) {
  return data.operations.find((it) => it.id === event.op && it.began <= at && at <= it.ended);
}

const SIGNS = { synced: "▼", crash: "⚡", diverged: "✖", raw: "·", "read-back": "·", ok: "·" };

function sign(event) {
  const kind = event.fault ? "fault" : event.class;
  return [kind, event.fault ? "▲" : SIGNS[event.class]];
}

function lanes() {
  const clients = [];
  for (let client = 0; client < data.clients; client += 1) {
    clients.push(track("lane", data.clients > 1 ? `client ${client}` : "client"));
  }
  const harness = track("lane harness", "harness");
  const tasks = data.events.some((it) => it.task) ? [track("lane harness", "tasks")] : [];
  for (const it of data.operations) {
    const bar = make("div", `bar ${it.outcome}`, undefined, clients[it.client][1]);
    make("span", "", `#${it.id} ${it.name}`, bar);
    bar.title = it.text;
    place(bar, it.began, it.ended + 1);
  }
  data.events.forEach((event, at) => {
    const operation = operationAt(event, at);
    const [kind, text] = sign(event);
    if (!text || (operation && kind === "ok")) return;
    const others = event.task ? tasks[0] : harness;
    const line = operation ? clients[operation.client][1] : others[1];
    const mark = place(make("span", `sign ${kind}`, text, line), at, at + 1);
    mark.title = event.text;
  });
  return [...clients, ...tasks, harness].map(([row]) => row);
}

function band(row, which, parent) {
  const line = make("div", `band ${which === 1 ? "visible" : "durable"}`, undefined, parent);
  let start = 0;
  row.cells.forEach((change, at) => {
    const next = row.cells[at + 1];
    if (next && next[which] === change[which]) return;
    const end = next ? next[0] : last + 1;
    const drawn = place(cell(row.cells[at][which], line), start, end);
    // Room for what the power failure did.
    const crashed = which === 1 && data.events[start].class === "crash" && fateOf(row, start);
    if (crashed) drawn.style.paddingLeft = "2.6rem";
    const found = data.diverged !== null && start <= data.diverged && data.diverged < end;
    if (row.guilty && which === 1 && found) drawn.classList.add("wrong");
    start = end;
  });
}

// What a power failure did to the sectors of a row, where anything of them was unsynced.
function fateOf(row, step) {
  const before = row.cells[cellAt(row, step - 1)];
  const after = row.cells[cellAt(row, step)];
  if (step === 0 || before[1] === before[2]) return undefined;
  return after[1] === before[1] ? "kept" : "lost";
}

function sectors() {
  return data.rows.map((row) => {
    const [element, line] = track(row.guilty ? "sector guilty" : "sector",
      `${sectorsOf(row)}${row.guilty ? " ✖" : ""}`);
    band(row, 1, line);
    band(row, 2, line);
    data.events.forEach((event, at) => {
      const fate = event.class === "crash" ? fateOf(row, at) : undefined;
      if (fate) make("span", `fate ${fate}`, fate, line).style.left = `${at * width + 5}px`;
    });
    return element;
  });
}

// The table at the top names contents; they get the colours of the map.
function paintFindings() {
  for (const box of document.querySelectorAll("[data-holds]")) {
    const names = box.dataset.holds.split(" ").reverse();
    for (const name of names) {
      const number = data.contents.findIndex((it) => it.label === name);
      if (number >= 0) box.prepend(cell(number), " ");
    }
  }
}

// A line over all rows.
function overlay(kind, at, wide) {
  const line = make("div", `line ${kind}`);
  line.style.left = `calc(var(--label) + ${at * width}px)`;
  if (wide) line.style.width = `${width}px`;
  return line;
}

const now = overlay("now", 0, true);

function drawMap() {
  const canvas = make("div", "canvas", undefined, map);
  canvas.append(ruler(), epochs(), ...lanes(), ...sectors());
  data.events.forEach((event, at) => {
    if (event.class === "crash") canvas.append(overlay("crash", at + 0.06));
  });
  if (data.diverged !== null) canvas.append(overlay("diverged", data.diverged, true));
  canvas.append(now);
  const missing = [
    data.events_left_out ? `the first ${data.events_left_out} events` : "",
    data.rows_left_out ? `${data.rows_left_out} more runs of sectors` : "",
  ].filter((it) => it);
  const note = document.getElementById("left-out");
  note.hidden = missing.length === 0;
  note.textContent = `Not shown: ${missing.join(" and ")}. A smaller scenario is shown whole.`;
}

// The step under the pointer, and the row of sectors if there is one.
function pointed(event) {
  const start = map.querySelector(".ruler .track").getBoundingClientRect().left;
  const named = map.querySelector(".ruler .label").getBoundingClientRect().right;
  const step = Math.floor((event.clientX - start) / width);
  if (event.clientX < named || step > last) return undefined;
  const rows = [...map.querySelectorAll(".sector")];
  return { step, row: data.rows[rows.indexOf(event.target.closest(".sector"))] };
}

function describe({ step, row }) {
  const text = `step ${step}: ${data.events[step].text}`;
  if (!row) return text;
  const [, visible, durable] = row.cells[cellAt(row, step)];
  const titles = [data.contents[visible].title, data.contents[durable].title];
  return `${text} – sector ${sectorsOf(row)}: visible ${titles[0]}, durable ${titles[1]}`;
}

function drawEvents() {
  const list = document.getElementById("events");
  data.events.forEach((event, at) => {
    const item = make("li", `${event.class}${event.fault ? " has-fault" : ""}`, undefined, list);
    const button = make("button", "", undefined, item);
    button.type = "button";
    button.dataset.step = at;
    make("span", "at", at, button);
    const operation = data.clients > 1 ? operationAt(event, at) : undefined;
    if (operation) make("span", "client", ` client ${operation.client}`, button);
    button.append(` ${event.text}`);
  });
}

function drawState(step) {
  const body = document.querySelector("#state tbody");
  body.replaceChildren(...data.rows.map((row) => {
    const [since, ...held] = row.cells[cellAt(row, step)];
    const changed = since === step && step > 0;
    const line = make("tr", `${row.guilty ? "guilty" : ""}${changed ? " changed" : ""}`);
    make("th", "", `${row.guilty ? "✖ " : ""}${sectorsOf(row)}`, line).scope = "row";
    for (const number of held) {
      const box = make("td", "", undefined, line);
      cell(number, box);
      box.append(` ${data.contents[number].title}`);
    }
    return line;
  }));
  if (data.rows.length === 0) make("td", "", "Nothing was written.", body.insertRow()).colSpan = 3;
}

// What an event changed, in words.
function consequences(step) {
  const changes = data.rows.filter((row) => step > 0 && row.cells[cellAt(row, step)][0] === step);
  return changes.slice(0, 4).map((row) => {
    const at = cellAt(row, step);
    const before = at > 0 ? row.cells[at - 1] : [0, 0, 0];
    const words = ["", "visible", "durable"].flatMap((word, which) => {
      const [from, to] = [before[which], row.cells[at][which]];
      if (which === 0 || from === to) return [];
      return [`${word} ${data.contents[from].label} → ${data.contents[to].label}`];
    });
    const fate = data.events[step].class === "crash" ? fateOf(row, step) : undefined;
    return `sector ${sectorsOf(row)}: ${[fate, ...words].filter((it) => it).join(", ")}`;
  }).join("; ");
}
