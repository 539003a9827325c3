// Files are handed to the browser, figures are drawn as PNG, references are copied.
(copy) => {
  const hand = (url, name) => {
    const anchor = document.createElement("a");
    anchor.href = url;
    anchor.download = name;
    document.body.append(anchor);
    anchor.click();
    anchor.remove();
  };

  const status = (words, role = "status") => `<p role="${role}">${words}</p>`;

  // A file that was just prepared; none where preparing failed, which is said already.
  const save = (file) => {
    if (file?.url) hand(file.url, file.orig_name || "plantain");
    return [];
  };

  // The browser draws the figure: it has fonts, which a server may not have.
  const png = async (svg, name) => {
    if (!svg) return [];
    const source = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    try {
      const image = new Image();
      image.src = source;
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [2 * image.naturalWidth, 2 * image.naturalHeight];
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
      const url = URL.createObjectURL(blob);
      hand(url, name);
      setTimeout(() => URL.revokeObjectURL(url), 60000);
      return status(`Saved as ${name}, ${canvas.width} × ${canvas.height} pixels.`);
    } catch {
      return status("This browser could not draw the figure as PNG. Save it as SVG instead.", "alert");
    } finally {
      URL.revokeObjectURL(source);
    }
  };

  const cite = (id) => async () => {
    const done = await copy(document.getElementById(id).querySelector("pre").textContent);
    return status(done ? "Copied." : "The browser did not allow copying: select the text and copy it.");
  };

  const clear = (lines, files) => () => [
    ...Array(lines).fill(""),
    ...Array(files).fill({ __type__: "update", visible: false, value: null }),
  ];

  return { save, png, cite, clear };
}
