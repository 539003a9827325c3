// A file that was just made goes to the browser; where making it failed, which is said already, there is none.
watch("value", () => element.querySelector("a[download]")?.click());
