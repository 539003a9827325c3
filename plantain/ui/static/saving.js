// A figure goes to the browser as a file: as it was drawn, or as PNG.
(() => {
  const picture = (drawn) => new Blob([drawn], { type: "image/svg+xml" });

  const hand = (blob, name) => {
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(blob);
    anchor.download = name;
    document.body.append(anchor);
    anchor.click();
    anchor.remove();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 60000);
  };

  const status = (words, role = "status") => `<p role="${role}">${words}</p>`;

  const svg = (drawn, name) => {
    if (!drawn) return []; // what went wrong is said already
    hand(picture(drawn), `${name}.svg`);
    return status(`Saved as ${name}.svg.`);
  };

  // The browser draws the figure: it has fonts, which a server may not have.
  const png = async (drawn, name) => {
    if (!drawn) return [];
    const source = URL.createObjectURL(picture(drawn));
    try {
      const image = new Image();
      image.src = source;
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [2 * image.naturalWidth, 2 * image.naturalHeight];
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
      hand(blob, `${name}.png`);
      return status(`Saved as ${name}.png, ${canvas.width} × ${canvas.height} pixels.`);
    } catch {
      return status("This browser could not draw the figure as PNG. Save it as SVG instead.", "alert");
    } finally {
      URL.revokeObjectURL(source);
    }
  };

  return { svg, png };
})()
