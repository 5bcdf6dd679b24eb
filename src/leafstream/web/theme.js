// Before anything is painted: the colours that were chosen here before. A classic script, in the head.
try {
  document.documentElement.dataset.theme = localStorage.getItem("leafstream.theme") ?? "auto";
} catch {
  // a browser that keeps nothing: its own preference decides
}
