// Lists of words send all that is chosen in them; the verbs follow the need, and nobody acts on themselves. Open lists
// follow the boxes, unless they are in use themselves: size, place and names, and where both sides have a verb of one need, that
// need and the verbs.
const SIDES = ["positive", "negative"];
const verbsOf = (lists) => JSON.parse(lists.dataset.verbs);
const listOf = (lists, part) => lists.querySelector(`[data-part="${part}"]`);
const has = (list, value) => [...list.options].some((option) => option.value === value);
function offer(lists, verbs) {
  for (const side of SIDES)
    listOf(lists, side).replaceChildren(...verbs[side].map((verb) => new Option(verb, verb)));
}
function follow() {
  const lists = element.querySelector("[data-verbs]");
  if (!lists?.open || document.activeElement.matches("select[data-part]")) return;
  const texts = SIDES.map((side) => document.querySelector(`#pair-${side} textarea`)?.value ?? "");
  const [words, others] = texts.map((text) => text.match(/\p{L}+/gu) ?? []);
  const first = (part, among) => among.find((word) => has(listOf(lists, part), word));
  const small = words.map((word) => word.toLowerCase());
  const actor = first("actor", words);
  const found = { size: first("size", small), place: first("place", small), actor };
  found.other = first("other", words.filter((word) => word !== actor));
  for (const [need, verbs] of Object.entries(verbsOf(lists))) {
    const at = words.findIndex((word) => verbs.positive.includes(word));
    const negative = others.find((word) => verbs.negative.includes(word));
    if (at < 0 || !negative) continue;
    offer(lists, verbs);
    Object.assign(found, { need, negative, actor: words[at - 1], positive: words[at], other: words[at + 1] });
  }
  for (const [part, value] of Object.entries(found))
    if (has(listOf(lists, part), value)) listOf(lists, part).value = value;
}
element.addEventListener("toggle", follow, true);
window.addEventListener("plantain-typed", () => setTimeout(follow)); // when the boxes have it
element.addEventListener("change", (event) => {
  const lists = event.target.closest("[data-verbs]");
  if (!lists) return;
  const list = (part) => listOf(lists, part);
  const changed = event.target.dataset.part;
  if (changed === "need") offer(lists, verbsOf(lists)[event.target.value]);
  if (list("actor").value === list("other").value) {
    const other = list(changed === "actor" ? "other" : "actor");
    other.selectedIndex = (other.selectedIndex + 1) % other.options.length;
  }
  const chosen = Object.fromEntries([...lists.querySelectorAll("select")].map((s) => [s.dataset.part, s.value]));
  trigger("pick", { chosen });
});
