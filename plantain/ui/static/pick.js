// A click on a button with a name asks for it by its name. Lists of words send all that is chosen in them; the verbs
// follow the need, and nobody acts on themselves. Where a click draws the buttons anew, the focus goes to the same one
// again, or, where it is gone, to the button that is pressed next.
let pressed = null;
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-name]");
  if (!button) return;
  pressed = button.dataset.name;
  trigger("pick", { name: pressed });
});
watch("value", () => {
  if (pressed === null) return;
  const again = element.querySelector(`[data-name="${pressed}"]`) ?? document.getElementById("score-pair");
  pressed = null;
  if (document.activeElement === document.body) again?.focus({ preventScroll: true });
});
element.addEventListener("change", (event) => {
  const lists = event.target.closest("[data-verbs]");
  if (!lists) return;
  const list = (part) => lists.querySelector(`[data-part="${part}"]`);
  const changed = event.target.dataset.part;
  if (changed === "need") {
    const verbs = JSON.parse(lists.dataset.verbs)[event.target.value];
    for (const side of ["positive", "negative"]) list(side).replaceChildren(...verbs[side].map((v) => new Option(v, v)));
  }
  if (list("actor").value === list("other").value) {
    const other = list(changed === "actor" ? "other" : "actor");
    other.selectedIndex = (other.selectedIndex + 1) % other.options.length;
  }
  const chosen = Object.fromEntries([...lists.querySelectorAll("select")].map((s) => [s.dataset.part, s.value]));
  trigger("pick", { chosen });
});
