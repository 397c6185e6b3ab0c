// Community: several comments at once, drafts that keep themselves, templates.
import { $, $$, api, confirmed, refresh, say } from "./core.js";

const WORDS = {
  published: "Published.", held: "Hidden: only you see them now.", rejected: "Rejected.",
  banned: "Rejected, and their authors banned.", done: "Done.",
};

export function open(main) {
  const turns = new Map(), waits = new Map();

  const chosen = () => $$("[data-choose]:checked", main).map(box => box.dataset.choose);
  const count = () => {
    const boxes = $$("[data-choose]", main), all = $("[data-choose-all]", main), some = chosen().length;
    if (!all) return;
    all.checked = some > 0 && some === boxes.length;
    all.indeterminate = some > 0 && some < boxes.length;
    $("[data-chosen]", main).textContent = some ? `${some} chosen` : "Choose all on this page";
    $("[data-bulk]", main).hidden = !some;
  };

  async function moderate(to) {
    const ids = chosen(), many = ids.length === 1 ? "this comment" : `these ${ids.length} comments`;
    const ban = to === "banned";
    if (to === "rejected" && !await confirmed(`Reject ${many}? A rejected comment cannot come back.`)) return;
    if (ban && !await confirmed(`Reject ${many} and ban who wrote them? Neither can be undone from here.`)) return;
    if (to === "done") for (const id of ids) await api("PATCH", `/api/comments/${id}`, { handled: true });
    else await api("POST", `/api/comments/moderate/${ban ? "rejected" : to}`, { ids, ban_author: ban, confirm: ban || to === "rejected" });
    say(WORDS[to]);
    await refresh();
    count();
  }

  async function another(form) {
    const id = form.dataset.comment, turn = (turns.get(id) ?? 0) + 1;
    turns.set(id, turn);
    const told = await api("GET", `/api/comments/${id}/suggestion?turn=${turn}`);
    if (!told.text) return;
    form.elements.text.value = told.text;
    $(".draft", form).textContent = "suggested; nothing is sent before you click";
  }

  /** Keep what was typed in the studio, so that it is there in another browser, too. */
  function keepDraft(form) {
    const id = form.dataset.comment, note = $(".draft", form);
    clearTimeout(waits.get(id));
    note.textContent = "";
    waits.set(id, setTimeout(async () => {
      waits.delete(id);
      if (!form.isConnected || form.getAttribute("aria-busy")) return;
      try {
        await api("PUT", `/api/comments/${id}/draft`, { text: form.elements.text.value });
        note.textContent = "draft kept; nothing is sent before you click";
      } catch (error) {
        note.textContent = error.message;
      }
    }, 900));
  }

  async function saveTemplates(form) {
    const templates = Object.fromEntries($$("textarea", form).map(t => [t.name, t.value.split("\n").map(l => l.trim()).filter(Boolean)]));
    await api("PUT", "/api/comments/templates", { templates });
    say("The templates are kept.");
  }

  async function shipped(form) {
    if (!await confirmed("Give back the templates as they were shipped? Yours are lost.")) return;
    await api("PUT", "/api/comments/templates", { templates: Object.fromEntries($$("textarea", form).map(t => [t.name, null])) });
    await refresh();
  }

  const trying = async (element, doing) => {
    element.setAttribute("aria-busy", "true");
    try { await doing(); } catch (error) { say(error.message, { bad: true }); } finally { element.removeAttribute("aria-busy"); }
  };

  const onClick = event => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.to) trying(button, () => moderate(button.dataset.to));
    else if (button.dataset.another !== undefined) trying(button, () => another(button.form));
    else if (button.dataset.shipped !== undefined) trying(button, () => shipped(button.form));
  };
  const onChange = event => {
    const field = event.target;
    if (field.dataset.chooseAll !== undefined) for (const box of $$("[data-choose]", main)) box.checked = field.checked;
    if (field.dataset.choose || field.dataset.chooseAll !== undefined) count();
    if (field.dataset.category) trying(field, async () => {
      await api("PATCH", `/api/comments/${field.dataset.category}`, { category: field.value });
      say(`Noted: ${field.value}.`);
      field.blur();
      await refresh();
    });
  };
  const onInput = event => {
    const form = event.target.closest("form[data-comment]");
    if (form) keepDraft(form);
  };
  const onSubmit = event => {
    const form = event.target;
    if (form.dataset.comment) { clearTimeout(waits.get(form.dataset.comment)); waits.delete(form.dataset.comment); }
    if (form.dataset.templates === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    trying(form, () => saveTemplates(form));
  };

  main.addEventListener("click", onClick);
  main.addEventListener("change", onChange);
  main.addEventListener("input", onInput);
  main.addEventListener("submit", onSubmit);
  main.addEventListener("fresh", count);
  count();
  return () => { for (const wait of waits.values()) clearTimeout(wait); };
}
