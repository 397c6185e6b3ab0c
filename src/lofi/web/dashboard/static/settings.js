// Settings: the way to Google's consent; a token's secret is shown once, garbage is looked for before it is deleted, the doctor.
import { $, api, say } from "./core.js";

const bytes = n => {
  for (const unit of ["B", "kB", "MB", "GB"]) { if (n < 1000) return `${+n.toPrecision(3)} ${unit}`; n /= 1000; }
  return `${+n.toPrecision(3)} TB`;
};
const made = (name, text, className) => {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};

async function collect(dry_run) {
  const told = $("#gc-told"), run = $("#gc-run");
  told.textContent = dry_run ? "Looking …" : "Deleting …";
  try {
    const found = await api("POST", "/api/storage/gc", { dry_run });
    const count = found.files + found.leftovers, size = bytes(found.bytes + found.leftover_bytes);
    run.hidden = !dry_run || !count;
    if (!count && dry_run) told.textContent = `Nothing: all ${found.kept.toLocaleString()} files are named by a track or job, or younger than an hour.`;
    else told.textContent = `${count.toLocaleString()} files, ${size}${dry_run ? " that nothing names" : " deleted"}.`;
  } catch (error) {
    told.textContent = "";
    say(error.message, { bad: true });
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text); // on this machine, or over TLS
    say("Copied.");
  } catch {
    getSelection().selectAllChildren($("#secret-text"));
    say("It is selected: copy it with Ctrl+C.");
  }
}

async function examine(button) {
  const status = $("#examining"), list = $("#findings");
  button.disabled = true;
  status.textContent = "Looking: it takes some seconds, two minutes at most …";
  try {
    const told = await api("GET", "/api/doctor");
    if (!list.isConnected) return;
    const count = state => told.findings.filter(f => f.state === state).length;
    status.textContent = `${count("ok")} ok, ${count("absent")} absent, ${count("broken")} broken; it took ${Math.round(told.took_s)} s.`;
    list.replaceChildren(...told.findings.map(f => {
      const item = made("li"), words = made("div");
      words.append(made("b", f.name), made("p", f.detail, "dim"));
      if (f.remedy) words.append(made("p", `→ ${f.remedy}`));
      item.append(made("span", f.state, `chip ${f.state}`), words);
      return item;
    }));
  } catch (error) {
    status.textContent = "";
    say(error.message, { bad: true });
  } finally {
    button.disabled = false;
  }
}

/** To Google's page of consent, which leads back to these settings. */
async function connect(form) {
  const file = form.elements.client?.files[0];
  form.setAttribute("aria-busy", "true");
  try {
    location.assign((await api("POST", "/api/youtube/consent", { client: file ? await file.text() : null })).url);
  } catch (error) {
    say(error.message, { bad: true });
  } finally {
    form.removeAttribute("aria-busy");
  }
}

export function open(main) {
  main.addEventListener("submit", event => {
    if (event.target.id !== "connect") return;
    event.preventDefault();
    connect(event.target);
  });
  main.addEventListener("done", event => {
    if (event.detail?.ended_at_google === false) say("Google did not confirm it: remove LoFi Empire's access at https://myaccount.google.com/connections.", { bad: true });
  });
  $("#gc-look", main).onclick = () => collect(true);
  $("#gc-run", main).onclick = () => collect(false);
  $("#secret-copy", main).onclick = () => copy($("#secret-text").textContent);
  $("#examine", main).onclick = event => examine(event.target);
  $("#new-token", main).addEventListener("done", event => {
    if (!event.detail?.token) return;
    $("#secret-text").textContent = event.detail.token;
    $("#secret").hidden = false;
    $("#secret-text").focus();
  });
  for (const again of main.querySelectorAll("[data-again]")) {
    const first = again.form.elements.password;
    const compare = () => again.setCustomValidity(again.value === first.value ? "" : "The two are not the same.");
    again.addEventListener("input", compare);
    first.addEventListener("input", compare);
  }
}
