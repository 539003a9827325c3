// Signing in and out leaves the page and loads it anew. This tab of the browser remembers which run was chosen, once.
(() => {
  const name = 'plantain-run';
  return {
    go: (run, label) => {
      try {
        sessionStorage.setItem(name, run ?? '');
      } catch {
        // In another site's frame there may be no storage.
      }
      window.parent?.postMessage({ type: 'SET_SCROLLING', enabled: true }, '*');  // the Hub's own page fits no Space's frame
      window.location.assign(label.startsWith('Sign out') ? '/logout' : '/login/huggingface');
    },
    bring: () => {
      try {
        const run = sessionStorage.getItem(name) ?? '';
        sessionStorage.removeItem(name);
        return run;
      } catch {
        return '';
      }
    },
  };
})()
