// The address follows what is on show, and a link to it can be copied. `facts`: what the page shows by itself beside the
// first run, and the Space's address, or null; `known`: the saved runs, as JSON, and which of them is first.
// Parameters that are not ours stay where they are.
(facts, copy) => {
  const OURS = ["run", "units", "scope", "unit", "tab", "section"];
  const PLACES = ["run", "tab", "section"]; // Back goes from one of these to the one before

  const shown = (run, units, scope, unit, known, section) => {
    const tab = document.querySelector('[role="tab"][aria-selected="true"]')?.dataset.tabId;
    // A section is named where it is on show; a visitor's own run has a name that opens it for whoever knows it, and is
    // gone soon: it stays out of links.
    const opened = section && document.getElementById(`section-${section}`)?.checkVisibility() ? section : "";
    const all = { run: JSON.parse(known).runs.includes(run) ? run : "", units, scope, unit, tab, section: opened };
    return OURS.filter((name) => all[name]).map((name) => [name, all[name]]);
  };

  // What the page is asked for, by its address or a step back, is on its way: until it is on show, the address is right.
  const write = async (...choice) => {
    const mine = (window.plantainWrites = (window.plantainWrites ?? 0) + 1);
    do {
      await new Promise((done) => setTimeout(done, 60)); // until a tab that was just chosen says so, and the rest followed
      if (mine !== window.plantainWrites) return; // what changed later is written
    } while (performance.now() < (window.plantainAsks ?? 20000));
    const now = shown(...choice);
    const first = { ...facts.first, run: JSON.parse(choice[4]).first };
    const url = new URL(window.location.href);
    const before = new URL(url);
    const written = OURS.some((name) => url.searchParams.has(name));
    if (!written && now.every(([name, value]) => value === first[name])) return; // nothing was chosen yet
    OURS.forEach((name) => url.searchParams.delete(name));
    now.forEach(([name, value]) => url.searchParams.set(name, value));
    if (url.href === before.href) return;
    const is = (at, name) => at.searchParams.get(name) ?? first[name] ?? "";
    const went = PLACES.some((name) => is(before, name) !== is(url, name));
    // A click or a key makes one step at most, what a step back or the first look itself brings none. Another run is a
    // step whenever it comes, as a probe's at its end: a step back has changed the address already.
    const touched = window.plantainTouched ?? 0;
    const step = went && touched && (touched > (window.plantainStepped ?? 0) || is(before, "run") !== is(url, "run"));
    if (step) window.plantainStepped = performance.now();
    window.history[step ? "pushState" : "replaceState"](window.history.state, "", url);
    if (window.parent !== window) {
      // A Space is a frame; what its host put into the frame's own address (theme, signature) is none of the page's.
      [...url.searchParams.keys()].filter((name) => name.startsWith("__")).forEach((n) => url.searchParams.delete(n));
      window.parent.postMessage({ queryString: url.searchParams.toString() }, "https://huggingface.co");
    }
  };

  // Nothing waits for it: what Gradio has to do after it is done at once.
  const follow = (...choice) => {
    write(...choice);
    return "";
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

  return { follow, link };
}
