// Tells of every change of what is named in the element, and once at the start.
const tell = () => trigger("pick", {});
const observer = new MutationObserver(tell);
for (const id of element.textContent.trim().split(" "))
  observer.observe(document.getElementById(id), { childList: true, characterData: true, subtree: true });
tell();
