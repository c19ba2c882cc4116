// Warns shortly before the session ends, and prolongs it where the page stands, so that nothing typed is lost. The pages work without it: the footer
// states the time in words, and the link leads to the page anew.
(() => {
  const session = document.getElementById("session");
  const warning = document.getElementById("session-warning");
  const link = warning && warning.querySelector("a");
  if (!session || !link) return;
  let timers = [], before = null;
  const arm = () => {
    timers.forEach(clearTimeout);
    const left = Date.parse(session.dataset.sessionEnds) - Date.now();
    if (!(left > 0)) return;
    timers = [
      setTimeout(() => { before = document.activeElement; warning.hidden = false; }, Math.max(0, left - 120000)),
      // What the session protected is taken off the screen when it ends; the start page says why.
      setTimeout(() => { location.replace("/"); }, left + 1000),
    ];
  };
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      const answer = await fetch("/session", { cache: "no-store", credentials: "same-origin" });
      if (!answer.ok) throw new Error(String(answer.status));
      const { ends, text } = await answer.json();
      session.dataset.sessionEnds = ends;
      session.textContent = text;
      warning.hidden = true;
      (before && before !== document.body ? before : document.getElementById("content")).focus();
      arm();
    } catch {
      location.assign(link.href);
    }
  });
  arm();
})();
