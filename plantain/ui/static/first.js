// The first screen stands in the page as it is served; it goes when the page itself stands.
(() => {
  const first = document.querySelector(".pl-first");
  const asked = new URLSearchParams(location.search);
  const theme = asked.get("__theme");
  const dark = theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  first.classList.toggle("dark", dark);
  // Another run or another tab was asked for: these figures are not what will be shown.
  first.hidden = ["run", "units", "scope", "unit", "tab", "positive", "negative"].some((name) => asked.has(name));
  document.body.classList.add("pl-loading");
  const observer = new MutationObserver(() => {
    if (!document.querySelector("#hero")) return;
    observer.disconnect();
    first.remove();
    document.body.classList.remove("pl-loading");
  });
  observer.observe(document.body, { childList: true, subtree: true });
})();
