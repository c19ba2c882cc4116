// Warns shortly before the session ends. The pages work without it: the footer states the time in words.
(() => {
  const session = document.getElementById("session");
  const warning = document.getElementById("session-warning");
  if (!session || !warning) return;
  const left = Date.parse(session.dataset.sessionEnds) - Date.now();
  if (!(left > 0)) return;
  setTimeout(() => { warning.hidden = false; }, Math.max(0, left - 120000));
  // What the session protected is taken off the screen when it ends; the start page says why.
  setTimeout(() => { location.replace("/"); }, left + 1000);
})();
