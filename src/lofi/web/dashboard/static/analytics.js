// The form that starts an experiment: which fields belong to its kind, and images that go with it.
import { $, $$, api, say, refresh } from "./core.js";

export function open(main) {
  const form = $("[data-experiment]", main);
  if (!form) return;
  const kind = () => form.elements.kind.value;
  const show = () => { for (const part of $$("[data-kind]", form)) part.hidden = part.dataset.kind !== kind(); };
  form.addEventListener("change", show);
  show();
  form.addEventListener("submit", async event => {
    event.preventDefault();
    event.stopPropagation(); // its fields are not one by one those of the request
    form.setAttribute("aria-busy", "true");
    try {
      const body = { kind: kind(), measure: form.elements.measure.value, apply_winner: form.elements.apply_winner.checked };
      if (kind() === "title") body.titles = $$("[data-title]", form).map(f => f.value.trim()).filter(Boolean);
      else {
        body.palettes = $$("[name=palettes]:checked", form).map(f => f.value);
        body.images = [];
        for (const file of $("[data-images]", form).files) {
          const sent = new FormData();
          sent.append("file", file);
          body.images.push((await api("POST", "/api/experiments/images", sent)).sha256);
        }
      }
      await api("POST", `/api/releases/${form.elements.release.value}/experiments`, body);
      say("It begins at midnight in Los Angeles, where YouTube's days begin.");
      form.reset();
      show();
      refresh();
    } catch (error) {
      say(error.message, { bad: true });
    } finally {
      form.removeAttribute("aria-busy");
    }
  });
}
