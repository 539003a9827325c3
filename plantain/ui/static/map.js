// A map of units: one Tab stop, arrow keys, Home and End, Enter or Space or a click to open a unit, its number on hover.
// The unit that was opened stays marked.
// `element` stays while its children are drawn anew, so all listeners sit on it, and the place is kept by the unit's name.
let here = null;
let picked = null;

const cells = () => [...element.querySelectorAll("[data-u]")];
const cellOf = (node) => (node.closest ? node.closest("[data-u]") : null);

function say(cell) {
  const line = element.querySelector(".pl-map-said");
  if (line && cell) line.textContent = cell.getAttribute("aria-label");
}

function settle(focus) {
  const all = cells();
  if (!all.length) return;
  const cell = all.find((c) => c.dataset.u === here) || all.find((c) => c.tabIndex === 0) || all[0];
  for (const other of element.querySelectorAll('[data-u][tabindex="0"]')) if (other !== cell) other.tabIndex = -1;
  cell.tabIndex = 0;
  mark();
  if (focus) cell.focus();
}

function mark() {
  for (const cell of element.querySelectorAll('[data-u][aria-selected="true"]'))
    if (cell.dataset.u !== picked) cell.removeAttribute("aria-selected");
  const cell = cells().find((c) => c.dataset.u === picked);
  if (cell) cell.setAttribute("aria-selected", "true");
}

function pick(cell) {
  picked = cell.dataset.u; // at once: the server's answer takes a moment
  mark();
  const beside = element.closest(".pl-map-beside"); // what is said of it has its room from now on
  if (beside) beside.dataset.open = "yes";
  else document.querySelector("#drawer")?.scrollIntoView({ block: "nearest" }); // of a map that stands elsewhere
  trigger("pick", { unit: picked });
}

function go(cell) {
  if (!cell) return;
  here = cell.dataset.u;
  settle(true);
}

function neighbour(cell, key) {
  const row = cell.parentElement;
  const mine = [...row.querySelectorAll("[data-u]")];
  const i = mine.indexOf(cell);
  if (key === "ArrowRight") return mine[i + 1];
  if (key === "ArrowLeft") return mine[i - 1];
  if (key === "Home") return mine[0];
  if (key === "End") return mine[mine.length - 1];
  const other = key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
  return other ? other.querySelectorAll("[data-u]")[i] : null;
}

element.addEventListener("mouseover", (e) => say(cellOf(e.target)));
// What the mouse leaves behind: the unit that has the focus, else the one that was opened, else nothing.
element.addEventListener("mouseleave", () => {
  const line = element.querySelector(".pl-map-said");
  const cell = cells().find((c) => c === document.activeElement) ?? cells().find((c) => c.dataset.u === picked);
  if (cell) say(cell);
  else if (line) line.textContent = "";
});
element.addEventListener("focusin", (e) => {
  const cell = cellOf(e.target);
  if (!cell) return;
  here = cell.dataset.u;
  settle(false);
  say(cell);
});
element.addEventListener("click", (e) => {
  const cell = cellOf(e.target);
  if (cell) pick(cell);
});
element.addEventListener("keydown", (e) => {
  const cell = cellOf(e.target);
  if (!cell) return;
  if (e.key === "Enter" || e.key === " ") {
    e.preventDefault();
    pick(cell);
  } else if (["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End"].includes(e.key)) {
    e.preventDefault();
    go(neighbour(cell, e.key));
  }
});

// Drawn anew while a cell had the focus: give it to the same unit again.
let focused = false;
element.addEventListener("focusin", (e) => { focused = Boolean(cellOf(e.target)); });
element.addEventListener("focusout", (e) => { if (e.relatedTarget) focused = false; });
new MutationObserver(() => settle(focused && !element.contains(document.activeElement))).observe(element, {
  childList: true,
  subtree: true,
});
settle(false);
