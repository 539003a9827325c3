// Gradio keeps the last sessions only (`SESSIONS` in server.py). What was opened in the page of an older one answers no
// more, and Gradio says a bare "Error": the page says what happened, and what helps.
const gone = ({ name, responseStatus }) => responseStatus === 404 && /\/gradio_api\/(run|queue)\//.test(name);

new PerformanceObserver((list, observer) => {
  if (!list.getEntries().some(gone)) return;
  observer.disconnect();
  const notice = document.createElement("div");
  notice.className = "pl-notice pl-forgotten";
  notice.setAttribute("role", "alert");
  const button = (textContent, onclick) =>
    Object.assign(document.createElement("button"), { className: "pl-button pl-slim", textContent, onclick });
  const words = document.createElement("p");
  words.textContent =
    "The server no longer knows this page: it was restarted, or many others were opened. Reload it to go on. " +
    "Download runs of your own first: their list is gone then.";
  const again = button("Reload the page", () => location.reload());
  notice.append(words, again, " ", button("Close", () => notice.remove()));
  document.body.append(notice);
}).observe({ type: "resource" });
