// Runs before the first paint, so that a dark page never flashes white. Kept outside of the bundle
// and of the page itself, since the policy allows no inline script.
(function () {
  var theme = null;
  var language = null;
  try {
    theme = localStorage.getItem('terang.theme');
    language = localStorage.getItem('terang.language');
  } catch {
    // Storage may be forbidden: the system's theme is right then.
  }
  var dark =
    theme === 'dark' || (theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.classList.toggle('dark', dark);
  if (language) document.documentElement.lang = language;
})();
