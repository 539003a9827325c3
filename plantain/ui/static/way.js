// Links inside the page, and the browser's Back and Forward, show what they ask for without loading the page anew.
const asked = (query) => Object.fromEntries(new URLSearchParams(query));
const PATIENCE = 20000; // milliseconds
window.plantainGoes = null; // what the page is about to show; `address.py` asks as well
let next = null; // what was asked for meanwhile

// One at a time: two answers may come in another order than they were asked for.
const go = (where) => {
  if (window.plantainGoes && performance.now() < window.plantainAsks) return (next = where);
  window.plantainGoes = where;
  next = null;
  window.plantainAsks = performance.now() + PATIENCE; // the address is not written meanwhile
  trigger("pick", { ...where, here: document.querySelector('[role="tab"][aria-selected="true"]')?.dataset.tabId ?? "" });
};

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.pl-go");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go({ asked: asked(new URL(link.href).search) });
});
// When somebody last did something, for `address.js`; a swipe is nothing, and a press of the mouse is one thing.
const touched = (event) => {
  if (event.type !== "click" || event.detail === 0) window.plantainTouched = performance.now();
};
for (const kind of ["mousedown", "keydown", "click"]) document.addEventListener(kind, touched, true);
window.addEventListener("popstate", () => {
  window.plantainStepped = performance.now();
  go({ asked: asked(window.location.search), back: true });
});
window.addEventListener("plantain-shown", () => {
  if (window.plantainGoes?.back && !next) window.plantainStepped = performance.now();
  window.plantainGoes = null;
  if (next) go(next);
});
