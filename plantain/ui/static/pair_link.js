// Copies the link to the two prompts. Where copying is refused, the link is shown and selected, to be copied by hand.
// Runs once, with `element` around content that is drawn anew whenever the prompts change.
element.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-query]');
  if (!button) return;
  const base = button.dataset.base || window.location.origin + window.location.pathname;
  const link = base + '?' + button.dataset.query;
  const said = element.querySelector('.pl-copied');
  const box = element.querySelector('.pl-link');
  try {
    await navigator.clipboard.writeText(link);
    said.textContent = 'Copied.';
  } catch {
    box.value = link;
    box.hidden = false;
    box.focus();
    box.select();
    said.textContent = 'Copying is not allowed here: copy the link from the box.';
  }
});
