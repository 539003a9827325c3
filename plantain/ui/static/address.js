// The address follows what is on show, and a link to it can be copied. `facts`: tabs, what the page shows by itself
// beside the first run, and the Space's address, or null; `known`: the saved runs, as JSON, and which of them is first.
// Parameters that are not ours stay where they are.
(facts, copy) => {
  const OURS = ["run", "units", "scope", "unit", "tab"];

  const shown = (run, units, scope, unit, known) => {
    // On a phone the chosen tab may stand in the overflow menu, whose entries have a label and no id.
    const hidden = document.querySelector(".overflow-dropdown .selected")?.textContent.trim();
    const tab = document.querySelector('[role="tab"][aria-selected="true"]')?.dataset.tabId ?? facts.tabs[hidden];
    // A visitor's own run has a name that opens it for whoever knows it, and is gone soon: it stays out of links.
    const all = { run: JSON.parse(known).runs.includes(run) ? run : "", units, scope, unit, tab };
    return OURS.filter((name) => all[name]).map((name) => [name, all[name]]);
  };

  const write = async (...choice) => {
    await new Promise((done) => setTimeout(done)); // until a tab that was just chosen says so
    const now = shown(...choice);
    const first = { ...facts.first, run: JSON.parse(choice[4]).first };
    const url = new URL(window.location.href);
    const written = OURS.some((name) => url.searchParams.has(name));
    if (!written && now.every(([name, value]) => value === first[name])) return []; // nothing was chosen yet
    OURS.forEach((name) => url.searchParams.delete(name));
    now.forEach(([name, value]) => url.searchParams.set(name, value));
    if (url.href === window.location.href) return [];
    window.history.replaceState(window.history.state, "", url);
    if (window.parent !== window) {
      // A Space is a frame; what its host put into the frame's own address (theme, signature) is none of the page's.
      [...url.searchParams.keys()].filter((name) => name.startsWith("__")).forEach((n) => url.searchParams.delete(n));
      window.parent.postMessage({ queryString: url.searchParams.toString() }, "https://huggingface.co");
    }
    return [];
  };

  const link = async (...choice) => {
    const url = new URL(facts.base || window.location.origin + window.location.pathname);
    shown(...choice).forEach(([name, value]) => url.searchParams.set(name, value));
    const own = choice[0] && !JSON.parse(choice[4]).runs.includes(choice[0]);
    const line = document.createElement("p");
    line.setAttribute("role", "status");
    const anchor = document.createElement("a");
    anchor.href = anchor.textContent = url.href;
    line.append((await copy(url.href)) ? "Copied: " : "Copy this: ", anchor);
    if (own) line.append(" Your own run is in this page only, so the link shows the first saved run instead.");
    return line.outerHTML;
  };

  return { write, link };
}
