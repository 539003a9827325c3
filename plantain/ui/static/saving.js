// A figure goes to the browser as a file; what went wrong is said already, and then there is none.
(address, name) => {
  if (!address) return;
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = name;
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
}
