// Which step is shown: the slider, the keys, the pointer.

const slider = document.getElementById("step");
const here = document.getElementById("now");

// Scrolls the map, and not the page, so far that the step is in sight.
function bringIntoSight(step) {
  const label = parseFloat(getComputedStyle(map.querySelector(".label")).width);
  const left = step * width;
  const room = map.clientWidth - label;
  if (left < map.scrollLeft) map.scrollLeft = left - width;
  if (left + width > map.scrollLeft + room) map.scrollLeft = left + 2 * width - room;
}

function markEvent(step) {
  const list = document.getElementById("events");
  list.querySelector("[aria-current]")?.removeAttribute("aria-current");
  const button = list.querySelector(`[data-step="${step}"]`);
  button.setAttribute("aria-current", "step");
  const top = button.offsetTop - list.offsetTop;
  if (top < list.scrollTop || top + button.offsetHeight > list.scrollTop + list.clientHeight) {
    list.scrollTop = top - list.clientHeight / 2;
  }
}

function show(wanted) {
  const step = Math.min(last, Math.max(0, wanted));
  const event = data.events[step];
  slider.value = step;
  slider.setAttribute("aria-valuetext", `${step} of ${last}: ${event.text}`);
  here.replaceChildren();
  make("b", "", `Step ${step} of ${last}: `, here);
  here.append(event.text);
  const changes = consequences(step);
  if (changes) here.append(` – ${changes}`);
  now.style.left = `calc(var(--label) + ${step * width}px)`;
  drawState(step);
  markEvent(step);
  bringIntoSight(step);
}

function showDivergence() {
  if (data.diverged !== null) show(data.diverged);
}

function toggleHelp() {
  const help = document.getElementById("help");
  if (help.open) help.close();
  else help.showModal();
}

const KEYS = {
  j: () => show(Number(slider.value) + 1),
  ArrowRight: () => show(Number(slider.value) + 1),
  k: () => show(Number(slider.value) - 1),
  ArrowLeft: () => show(Number(slider.value) - 1),
  Home: () => show(0),
  End: () => show(last),
  d: showDivergence,
  "?": toggleHelp,
};

function pressed(event) {
  const act = KEYS[event.key];
  const modified = event.ctrlKey || event.altKey || event.metaKey;
  // A long text scrolls by its own keys, and so do the slider and the help.
  const own = event.key.length > 1 && event.target.closest("input, pre, dialog");
  if (!act || modified || own) return;
  event.preventDefault();
  act();
}

function clicked(event) {
  const button = event.target.closest("button");
  if (button?.dataset.step) show(Number(button.dataset.step));
  else if (event.target.closest("#map")) {
    const found = pointed(event);
    if (found) show(found.step);
  }
}

drawMap();
paintFindings();
drawEvents();
slider.max = last;
slider.addEventListener("input", () => show(Number(slider.value)));
document.addEventListener("keydown", pressed);
document.addEventListener("click", clicked);
map.addEventListener("pointermove", (event) => {
  const found = pointed(event);
  document.getElementById("hover").textContent = found ? describe(found) : "";
});
const buttons = {
  previous: KEYS.k, next: KEYS.j, "to-divergence": showDivergence, "help-open": toggleHelp,
};
for (const [id, act] of Object.entries(buttons)) {
  document.getElementById(id).addEventListener("click", act);
}
document.getElementById("to-divergence").hidden = data.diverged === null;
show(data.diverged ?? last);
