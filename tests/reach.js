// What can be used on a page, as somebody without a mouse or with a large thumb finds it.
() => {
  const CONTROLS = "a[href], button, input, select, textarea, summary, video[controls], [tabindex='0'], [role=option]";
  const usable = e => e.checkVisibility({ visibilityProperty: true }) && !e.closest("[inert]") && !e.disabled;
  const all = () => [...document.querySelectorAll(CONTROLS)].filter(usable);
  const about = e => e.outerHTML.replace(/\s+/g, " ").slice(0, 110);

  /** What is smaller than 24 px: WCAG 2.5.8, which exempts links in a sentence and what has room. */
  function small() {
    const boxes = all().map(e => {
      // A field that is drawn by its label is as large as that.
      const hidden = e.matches("input") && (e.offsetWidth < 24 || getComputedStyle(e).opacity === "0");
      return [e, ((hidden && e.closest("label")) || e).getBoundingClientRect()];
    }).filter(([, box]) => box.width > 1 && box.height > 1);
    const inSentence = e => e.matches("a") && getComputedStyle(e).display === "inline" && e.closest("p, li, dd, td, th, small");
    return boxes.filter(([e, box]) => {
      if ((box.width >= 23.5 && box.height >= 23.5) || inSentence(e)) return false;
      const x = box.x + box.width / 2, y = box.y + box.height / 2;
      return boxes.some(([other, o]) => {
        if (other.contains(e) || e.contains(other)) return false;
        return Math.hypot(Math.max(o.left - x, x - o.right, 0), Math.max(o.top - y, y - o.bottom, 0)) < 12;
      });
    }).map(([e, box]) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${about(e)}`);
  }

  // Tab by Tab ---------------------------------------------------------------------------------

  const walked = new Set();
  function begin() {
    walked.clear();
    getSelection().removeAllRanges();
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute("tabindex");
  }
  const ringed = e => {
    const drawn = [e, e.parentElement, e.closest("label, .dropzone"), ...e.parentElement.children].filter(Boolean);
    return drawn.map(x => getComputedStyle(x)).some(s => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1.5);
  };
  /** What the last Tab led to: "" at the end, else what is wrong with it or "ok". */
  function step() {
    const e = document.activeElement;
    if (!e || e === document.body) return "";
    if (walked.has(e)) return e.matches("video, input") ? "ok" : ""; // these have parts of their own
    walked.add(e);
    return e.matches("video") || ringed(e) ? "ok" : `no ring: ${about(e)}`;
  }
  /** Of radio buttons one is in the order: the one that is chosen, or the first. */
  const standsFor = e => {
    if (e.type !== "radio") return e;
    const group = all().filter(r => r.type === "radio" && r.name === e.name && r.form === e.form);
    return group.find(r => r.checked) ?? group[0];
  };
  /** What Tab did not lead to, and what only a mouse can click. */
  function rest() {
    const missed = all().filter(e => e.tabIndex >= 0 && !e.matches("[role=option]") && !walked.has(standsFor(e)));
    const mouse = [...document.querySelectorAll("main *, nav *, .dock *")].filter(e =>
      usable(e) && getComputedStyle(e).cursor === "pointer" && !e.closest(`${CONTROLS}, label, :disabled`) && !e.querySelector(CONTROLS));
    return [...missed.map(e => `not reached: ${about(e)}`), ...mouse.map(e => `by mouse only: ${about(e)}`)];
  }
  window.reach = { small, begin, step, rest };
}
