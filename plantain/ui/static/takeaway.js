// Files are handed to the browser, references are copied.
(copy) => {
  const hand = (url, name) => {
    const anchor = document.createElement("a");
    anchor.href = url;
    anchor.download = name;
    document.body.append(anchor);
    anchor.click();
    anchor.remove();
  };

  const status = (words) => `<p role="status">${words}</p>`;

  // A file that was just prepared; none where preparing failed, which is said already.
  const save = (file) => {
    if (file?.url) hand(file.url, file.orig_name || "plantain");
    return [];
  };

  const cite = (id) => async () => {
    const done = await copy(document.getElementById(id).querySelector("pre").textContent);
    return status(done ? "Copied." : "The browser did not allow copying: select the text and copy it.");
  };

  const clear = (lines) => () => [...Array(lines).fill(""), { __type__: "update", visible: false, value: null }];

  return { save, cite, clear };
}
