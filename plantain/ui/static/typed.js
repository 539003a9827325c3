// Keeps both prompts for this tab of the browser, so that a reload loses nothing that was typed. Nothing leaves the
// browser. `keep` notes them; `bring` returns what was kept where the same page was loaded again, or gone back to.
(() => {
  const name = 'plantain-pair';
  const again = () => ['reload', 'back_forward'].includes(performance.getEntriesByType('navigation')[0]?.type);
  const link = () => {
    const query = new URLSearchParams(window.location.search);
    return JSON.stringify([query.get('positive'), query.get('negative')]);
  };
  return {
    keep: (...typed) => {
      window.dispatchEvent(new Event('plantain-typed')); // `word_lists.js` follows
      try {
        sessionStorage.setItem(name, JSON.stringify({ typed, link: link() }));
      } catch {
        // In another site's frame there may be no storage.
      }
    },
    bring: (...shown) => {
      try {
        const kept = JSON.parse(sessionStorage.getItem(name));
        return again() && kept?.link === link() ? kept.typed : shown;
      } catch {
        return shown;
      }
    },
  };
})()
