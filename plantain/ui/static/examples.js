// A click on an example asks for it by its name.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-name]");
  if (button) trigger("pick", { name: button.dataset.name });
});
