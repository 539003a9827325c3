// A click on a button with a name asks for it by its name. Where a click draws the buttons anew, the focus goes to the
// same one again, or, where it is gone, to the button that is pressed next.
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
