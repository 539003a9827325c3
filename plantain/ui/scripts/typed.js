// Keeps both prompts for this tab of the browser, so that a reload loses nothing that was typed. Nothing leaves the
// browser. `keep` notes them; `bring` returns what was kept where the page was loaded again, or gone back to.
(() => {
  const name = 'plantain-pair';
  const again = () => ['reload', 'back_forward'].includes(performance.getEntriesByType('navigation')[0]?.type);
  return {
    keep: (...typed) => {
      try {
        sessionStorage.setItem(name, JSON.stringify(typed));
      } catch {
        // In another site's frame there may be no storage.
      }
    },
    bring: (...shown) => {
      try {
        return (again() && JSON.parse(sessionStorage.getItem(name))) || shown;
      } catch {
        return shown;
      }
    },
  };
})()
