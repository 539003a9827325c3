// Brings the part of a new answer that comes first into view where it is not there yet, and gives the focus back to the
// button, which lost it while it rested. `where`: selectors of the button, of what comes first in the answer, and of what
// should be seen with it. What went wrong comes before an older answer.
(where) => () => {
  const button = document.querySelector(where.button);
  const wake = (left) => {
    if (button?.disabled && left) return setTimeout(wake, 100, left - 1);
    if (document.activeElement === document.body) button?.focus({ preventScroll: true });
  };
  wake(50);
  const first = document.querySelector(where.first);
  if (!first) return;
  const seen = (!first.matches("[role=alert]") && document.querySelector(where.seen)) || first;
  if (first.getBoundingClientRect().top >= 0 && seen.getBoundingClientRect().bottom <= window.innerHeight) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  first.scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" });
}
