// Keeps both prompts for this tab of the browser, so that a reload loses nothing that was typed. Nothing leaves the
// browser. `keep` notes them; `bring` returns what was kept, unless the address brings other prompts.
(() => {
  const name = 'plantain-pair';
  const asked = () => {
    const query = new URLSearchParams(window.location.search);
    return JSON.stringify([query.get('positive'), query.get('negative')]);
  };
  return {
    keep: (...typed) => {
      try {
        sessionStorage.setItem(name, JSON.stringify({ typed, link: asked() }));
      } catch {
        // In another site's frame there may be no storage.
      }
    },
    bring: (...shown) => {
      try {
        const kept = JSON.parse(sessionStorage.getItem(name));
        return kept && (asked() === '[null,null]' || asked() === kept.link) ? kept.typed : shown;
      } catch {
        return shown;
      }
    },
  };
})()
