// Signing in leaves the page and loads it anew. This tab of the browser remembers which run was chosen, once.
(() => {
  const key = 'plantain-run';
  return {
    keep: (run) => { try { sessionStorage.setItem(key, run ?? ''); } catch { /* it may be forbidden */ } return []; },
    bring: () => {
      try {
        const run = sessionStorage.getItem(key) ?? '';
        sessionStorage.removeItem(key);
        return run;
      } catch { return ''; }
    },
  };
})()
