// The mark of a figure that one points at, or goes to with the arrow keys, says its number in a tooltip beside it. The
// words are the mark's own <title>, which screen readers and files keep; the browser's tooltip would come late, and twice.
const tip = document.createElement("div");
tip.className = "pl-tip";
tip.setAttribute("role", "status");
document.body.append(tip);

let mark = null;
let words = "";
let byKeys = false; // a mark that the keys went to keeps its tooltip while the figure scrolls to it

const markOf = (node) => node.closest?.("svg.pl-svg g:has(> title)") ?? null;

function leave() {
  if (!mark) return;
  mark.classList.remove("pl-here");
  mark.firstElementChild.textContent = words;
  tip.textContent = "";
  mark = null;
}

function show(found, x, y) {
  if (found !== mark) {
    leave();
    mark = found;
    words = mark.firstElementChild.textContent;
    mark.firstElementChild.textContent = "";
    mark.classList.add("pl-here");
    tip.textContent = words;
  }
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(x + 12, 8), window.innerWidth - width - 8);
  const above = y - height - 12;
  tip.style.transform = `translate(${left}px, ${above < 8 ? y + 16 : above}px)`;
}

function at(found) {
  const box = found.getBoundingClientRect();
  show(found, box.left + box.width / 2, box.top + box.height / 2);
}

const follow = (event) => {
  const found = markOf(event.target);
  if (found) byKeys = false;
  if (found) show(found, event.clientX, event.clientY);
  else if (event.type === "pointerover" || event.type === "pointerdown") leave();
};

for (const type of ["pointerover", "pointermove", "pointerdown"]) document.addEventListener(type, follow, { passive: true });
document.addEventListener("scroll", () => (byKeys && mark ? at(mark) : leave()), { capture: true, passive: true });
document.addEventListener("focusout", leave);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return leave();
  const frame = event.target.closest?.(".pl-fluid");
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!frame || !step || frame !== event.target) return;
  const marks = [...frame.querySelectorAll("svg.pl-svg g:has(> title)")].filter((one) => one.checkVisibility());
  if (!marks.length) return;
  event.preventDefault();
  const here = marks.indexOf(mark);
  const next = here < 0 ? (step > 0 ? 0 : marks.length - 1) : Math.min(Math.max(here + step, 0), marks.length - 1);
  byKeys = true;
  marks[next].scrollIntoView({ block: "nearest", inline: "nearest" });
  at(marks[next]);
});
