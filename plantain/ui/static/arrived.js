// Brings the part of a new answer that comes first into view where it is not there yet, and gives the focus back to the
// button, which lost it while it rested.
() => {
  const button = document.getElementById("score-pair");
  const wake = (left) => {
    if (button?.disabled && left) return setTimeout(wake, 100, left - 1);
    if (document.activeElement === document.body) button?.focus({ preventScroll: true });
  };
  wake(50);
  const first = document.querySelector("#pair-answer .pl-verdict, #pair-answer [role=alert]");
  if (!first) return;
  const strip = first.querySelector(".pl-verdict-strip svg, .pl-verdict-strip table") ?? first;
  if (first.getBoundingClientRect().top >= 0 && strip.getBoundingClientRect().bottom <= window.innerHeight) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  first.scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" });
}
