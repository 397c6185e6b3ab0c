// The frame of all pages: going from one to another, asking the API, forms, what happens live.
import { drawCharts } from "./charts.js";
import { player } from "./player.js";
import { startKeys } from "./keys.js";

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
export { player };

/** 2:05, or 1:02:05. */
export function clock(seconds) {
  const s = Math.round(seconds), two = n => String(n).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

// Notices ------------------------------------------------------------------------------------

/** Tell something; bad news stay until they are closed. */
export function say(text, { bad = false, undo = null } = {}) {
  const toast = document.createElement("div"), words = document.createElement("span"), close = document.createElement("button");
  toast.className = bad ? "toast bad" : "toast";
  if (bad) toast.setAttribute("role", "alert");
  words.textContent = text;
  toast.append(words);
  if (undo) {
    const back = document.createElement("button");
    back.textContent = "Undo";
    back.onclick = () => { toast.remove(); undo(); };
    toast.append(back);
  }
  close.textContent = "×";
  close.setAttribute("aria-label", "Close");
  close.onclick = () => toast.remove();
  toast.append(close);
  $("#toasts").append(toast);
  if (!bad) setTimeout(() => toast.remove(), undo ? 12000 : 5000);
}

/** Ask yes or no. */
export function confirmed(text) {
  const dialog = $("#confirm");
  $("#confirm-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise(done => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}

// The API ------------------------------------------------------------------------------------

/** What went wrong, with its remedy; `problem` holds the problem details. */
export class Problem extends Error {
  constructor(problem) {
    super([problem.detail, problem.remedy].filter(Boolean).join(" "));
    this.problem = problem;
  }
}

let idempotency = 0;
const session = crypto.getRandomValues(new Uint32Array(2)).join("-");

/** Ask the API; gives what it answers as JSON. Throws a Problem that can be shown as it is. */
export async function api(method, path, body, more = {}) {
  const headers = { Accept: "application/json", ...more };
  const raw = body instanceof FormData || body instanceof Blob;
  if (body !== undefined && !raw) headers["Content-Type"] = "application/json";
  // So that an order whose answer was lost is not carried out twice.
  if (method === "POST") headers["Idempotency-Key"] = `page-${session}-${++idempotency}`;
  const ask = () => fetch(path, { method, headers, body: raw ? body : body === undefined ? undefined : JSON.stringify(body) });
  let answer;
  try {
    answer = await ask();
  } catch {
    try {
      await new Promise(done => setTimeout(done, 800));
      answer = await ask();
    } catch {
      throw new Problem({ detail: "The studio does not answer.", remedy: "What you typed is kept; try again when it is back." });
    }
  }
  if (answer.status === 204) return null;
  const told = answer.headers.get("content-type")?.includes("json") ? await answer.json() : await answer.text();
  if (answer.ok) return told;
  if (answer.status === 401) say("You are logged out. Log in in another tab, or reload this page.", { bad: true });
  throw new Problem(typeof told === "object" ? told : { detail: `The studio answered ${answer.status}.` });
}

async function act(element) {
  const { do: what, body, confirm, done } = element.dataset;
  if (confirm && !await confirmed(confirm)) return;
  const [method, path] = what.split(" ");
  element.setAttribute("aria-busy", "true");
  try {
    finish(done ?? "refresh", await api(method, path, body ? JSON.parse(body) : undefined), element);
  } catch (error) {
    say(error.message, { bad: true });
  } finally {
    element.removeAttribute("aria-busy");
  }
}

/** What follows on success: "refresh", a path to go to ("{id}" from the answer), or words. */
function finish(done, answer, element) {
  for (const part of done.split("|")) {
    if (part === "refresh") refresh();
    else if (part.startsWith("/")) go(part.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(answer?.[name] ?? "")));
    else if (part === "reset") element.reset?.();
    else if (part) say(part);
  }
  element.dispatchEvent(new CustomEvent("done", { bubbles: true, detail: answer }));
}

// Forms --------------------------------------------------------------------------------------

/** The fields of a form as JSON, by `data-type`; empty ones are left out, or null with `data-null`. */
export function values(form) {
  const told = {};
  for (const field of form.elements) {
    if (!field.name || field.disabled || ["submit", "button", "file"].includes(field.type)) continue;
    if (field.type === "radio" && !field.checked) continue;
    if (form.dataset.changed !== undefined && untouched(field)) continue;
    const type = field.dataset.type, text = field.value;
    if (field.type === "checkbox") {
      if (type === "list") { told[field.name] ??= []; if (field.checked) told[field.name].push(text); }
      else told[field.name] = field.checked;
    } else if (text.trim() === "") {
      if (field.dataset.null !== undefined) told[field.name] = type === "list" ? [] : type === "text" ? "" : null;
    } else if (type === "number") told[field.name] = Number(text);
    else if (type === "list") told[field.name] = text.split(",").map(t => t.trim()).filter(Boolean);
    else if (type === "bool") told[field.name] = text === "true";
    else if (type === "json") told[field.name] = JSON.parse(text);
    else if (type === "moment") told[field.name] = new Date(text).toISOString();
    else told[field.name] = text;
  }
  return told;
}

/** Whether a field is as the page was drawn. */
function untouched(field) {
  if (field.type === "checkbox") return field.checked === field.defaultChecked;
  if (field.options) return [...field.options].every(o => o.selected === o.defaultSelected);
  return field.value === field.defaultValue;
}

async function send(form) {
  const [method, path] = form.dataset.do.split(" ");
  if (form.dataset.confirm && !await confirmed(form.dataset.confirm)) return;
  for (const note of $$(".wrong", form)) note.remove();
  for (const field of $$("[aria-invalid]", form)) field.removeAttribute("aria-invalid");
  form.setAttribute("aria-busy", "true");
  try {
    const body = form.enctype === "multipart/form-data" ? new FormData(form) : nested(values(form), form.dataset.group);
    const match = form.dataset.match, answer = await api(method, path, body, match ? { "If-Match": `"${match}"` } : {});
    if (match && answer?.version) form.dataset.match = answer.version;
    forget(form);
    form.dataset.sent = "";
    finish(form.dataset.done ?? "refresh", answer, form);
  } catch (error) {
    point(form, error);
  } finally {
    form.removeAttribute("aria-busy");
  }
}

const nested = (body, group) => group ? { [group]: body } : body;

/** Say at the field what is wrong with it; else in a notice. */
export function point(form, error) {
  let first = null;
  for (const wrong of error.problem?.errors ?? []) {
    const field = form.elements[wrong.pointer.split("/").find(name => name in form.elements)];
    const element = field instanceof RadioNodeList ? field[0] : field;
    if (!element) continue;
    const note = document.createElement("span");
    note.className = "wrong";
    note.id = `wrong-${element.name}`;
    note.textContent = wrong.detail;
    element.setAttribute("aria-invalid", "true");
    element.setAttribute("aria-describedby", note.id);
    (element.closest("label, fieldset") ?? element).append(note);
    first ??= element;
  }
  if (first) first.focus();
  else say(error.message, { bad: true });
}

const kept = form => `form:${location.pathname}:${form.dataset.keep}`;
const store = {
  get: name => { try { return JSON.parse(localStorage.getItem(name)); } catch { return null; } },
  set: (name, value) => { try { value === null ? localStorage.removeItem(name) : localStorage.setItem(name, JSON.stringify(value)); } catch { /* full or off */ } },
};
export { store };

function keep(form) {
  const told = [...form.elements].filter(f => f.name && f.type !== "password" && f.type !== "file" && f.type !== "hidden")
    .map(f => [f.name, f.value, f.type === "checkbox" || f.type === "radio" ? f.checked : null]);
  store.set(kept(form), told);
}
function forget(form) { if (form.dataset.keep && form.dataset.forget !== undefined) store.set(kept(form), null); }
function restore(form) {
  for (const [name, value, checked] of store.get(kept(form)) ?? []) {
    for (const field of form.elements) {
      if (field.name !== name) continue;
      if (checked === null) field.value = value;
      else if (field.value === value) field.checked = checked;
    }
  }
}

// Pages --------------------------------------------------------------------------------------

let leave = null, coming = 0;

/** Go to a page of the dashboard without losing the player. */
export async function go(url, { push = true } = {}) {
  const turn = ++coming, main = $("#main");
  main.setAttribute("aria-busy", "true");
  const page = await fetched(url);
  if (turn !== coming) return;
  if (!page) return main.removeAttribute("aria-busy");
  if (push) history.pushState({}, "", page.url);
  leave?.();
  leave = null;
  main.replaceWith(page.main);
  document.title = page.title;
  opened();
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) target.scrollIntoView(); else scrollTo(0, 0);
  (target || $("#main")).focus({ preventScroll: true });
}

async function fetched(url) {
  let answer;
  try {
    answer = await fetch(url, { headers: { Accept: "text/html" } });
  } catch {
    say("The studio does not answer. Try again when it is back.", { bad: true });
    return null;
  }
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html"), main = $("#main", parsed);
  if (!main) { location.assign(answer.url); return null; } // the login, or an error: a page of its own
  const hash = new URL(url, location).hash;
  return { main, title: parsed.title, url: answer.url.split("#")[0] + hash };
}

/** Whether somebody is typing there: what they send meanwhile is theirs no more. */
const typed = field => field.matches("input, textarea, select") && field.form?.dataset.sent === undefined;

/** Back to the field of a form that was sent. */
function again(fresh, was) {
  const field = $$("input, select, textarea", fresh).find(e => e.name === was.name && e.form?.dataset.group === was.form?.dataset.group);
  if (field?.form) field.form.dataset.sent = "";
  field?.focus({ preventScroll: true });
}

let asks = 0; // refreshes asked for so far; each part knows the one that drew it

/** Draw the live parts of this page anew, without touching what is typed in; `kinds`: only those. */
export async function refresh(kinds = null) {
  const ids = $$("[data-live]").filter(p => p.id && (!kinds || p.dataset.live.split(" ").some(k => kinds.has(k)))).map(p => p.id);
  if (kinds && !ids.length) return;
  const mine = ++asks, asked = location.href, page = await fetched(asked);
  if (!page || location.href !== asked) return; // gone on meanwhile: it would be another page's part
  for (const id of ids.length ? ids : ["main"]) {
    const part = document.getElementById(id), fresh = $(`#${id}`, page.main) ?? (id === "main" ? page.main : null);
    const was = document.activeElement;
    if (!part || !fresh || part.dataset.ask > mine || part.contains(was) && typed(was)) continue;
    fresh.dataset.ask = mine;
    const label = part.contains(was) ? was.getAttribute("aria-label") ?? was.textContent : null;
    const unfolded = new Set($$("details[open][id]", part).map(d => d.id));
    if (id === "main") { leave?.(); leave = null; }
    part.replaceWith(fresh);
    for (const d of $$("details[id]", fresh)) d.open ||= unfolded.has(d.id);
    if (label !== null && was.name) again(fresh, was);
    else if (label) $$("button, a, [tabindex]", fresh).find(e => (e.getAttribute("aria-label") ?? e.textContent) === label)?.focus({ preventScroll: true });
    fresh.dispatchEvent(new CustomEvent("fresh", { bubbles: true }));
    id === "main" ? opened() : dress(fresh);
  }
}

/** What a part of a page needs once it is there. */
function dress(root) {
  drawCharts(root);
  for (const t of $$("time[datetime]", root)) tellTime(t);
  for (const input of $$("input[type=range]", root)) slide(input);
  for (const form of $$("form[data-keep]", root)) restore(form);
  player.mark();
}

let opening = null; // the module of this page, until it is there

async function opened() {
  const main = $("#main");
  for (const a of $$(".side > a:not(.brand)")) {
    const path = a.getAttribute("href");
    location.pathname === path || (path !== "/" && location.pathname.startsWith(path)) ? a.setAttribute("aria-current", "page") : a.removeAttribute("aria-current");
  }
  dress(main);
  if (main.dataset.module) {
    const coming = opening = import(`./${main.dataset.module}.js`), module = await coming;
    if (main.isConnected) leave = module.open(main) ?? null;
    dress(main);
    if (opening === coming) opening = null;
  }
  performance.mark("opened"); // what benchmarks/dashboard.py waits for
}

function tellTime(element) {
  const moment = new Date(element.dateTime), how = element.dataset.how;
  if (isNaN(moment)) return;
  const date = { year: "numeric", month: "short", day: "numeric" }, time = { hour: "2-digit", minute: "2-digit" };
  element.title = moment.toLocaleString();
  if (how === "ago") element.textContent = ago(moment);
  else element.textContent = moment.toLocaleString(undefined, how === "date" ? date : how === "time" ? time : { ...date, weekday: "short", ...time });
}

/** 3 minutes ago, or in 2 days. */
export function ago(moment) {
  const s = (moment - Date.now()) / 1000, words = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  for (const [unit, size] of [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]])
    if (Math.abs(s) >= size) return words.format(Math.round(s / size), unit);
  return words.format(Math.round(s), "second");
}

function slide(input) {
  const output = input.closest("label")?.querySelector("output");
  if (output) output.textContent = input.dataset.how === "clock" ? clock(input.value) : input.value + (input.dataset.unit ?? "");
}

// What happens live --------------------------------------------------------------------------

const listeners = new Set(), due = new Set();
let timer = null, retry_ms = 500;

/** Be told `{type: "job", job}` and `{type: "event", …}`; gives a function that ends it. */
export function onLive(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function listen() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`);
  let ready = false;
  socket.onmessage = message => {
    const told = JSON.parse(message.data);
    if (told.type === "ready") {
      ready = true;
      if (!$(".offline").hidden) refresh();
      $(".offline").hidden = true;
      retry_ms = 500;
    } else if (told.type === "job") paint(told.job);
    else if (told.type === "event") {
      due.add(told.kind);
      timer ??= setTimeout(() => { timer = null; const kinds = new Set(due); due.clear(); refresh(kinds); }, 400);
    }
    for (const listener of listeners) listener(told);
  };
  socket.onclose = event => {
    if (event.code === 1008 && !ready) return location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
    if (document.visibilityState === "visible") $(".offline").hidden = false;
    retry_ms = Math.min(15000, retry_ms * 1.7 + Math.random() * 300);
    setTimeout(listen, retry_ms);
  };
}

function paint(job) {
  for (const row of $$(`[data-job="${job.id}"]`)) {
    const text = $("[data-job-text]", row), bar = $("progress", row);
    row.className = row.className.replace(/\b(queued|running|waiting|done|failed|cancelled)\b/, job.state);
    if (bar) bar.value = job.progress;
    if (text) text.textContent = jobText(job);
  }
}

/** How far a job is, in words. */
export function jobText(job) {
  if (job.state !== "running") return job.cancel_requested && !["cancelled", "done", "failed"].includes(job.state) ? "to be cancelled" : job.state;
  const stage = job.stages.find(s => s.state !== "done")?.name ?? "finishing";
  return [stage, `${Math.floor(job.progress * 100)} %`, job.eta_s === null ? "" : `${clock(job.eta_s)} left`].filter(Boolean).join(" · ");
}

// What is clicked, typed and sent ------------------------------------------------------------

document.addEventListener("click", event => {
  const element = event.target.closest("[data-do]:not(form), [data-open], [data-theme-toggle], a[href]");
  if (!element) return;
  if (element.dataset.do) return act(element);
  if (element.dataset.open) return document.getElementById(element.dataset.open).showModal();
  if (element.dataset.themeToggle !== undefined) return toggleTheme();
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button || element.target || element.hasAttribute("download") || element.origin !== location.origin) return;
  if (/^\/(api|static|metrics|feeds|problems)(\/|$)/.test(element.pathname)) return;
  event.preventDefault();
  element.closest("dialog")?.close();
  if (element.pathname === location.pathname && element.search === location.search && element.hash) {
    history.pushState({}, "", element.href);
    const target = document.getElementById(element.hash.slice(1));
    target?.scrollIntoView();
    target?.focus({ preventScroll: true });
  } else go(element.href);
});
document.addEventListener("submit", event => {
  const form = event.target;
  if (form.dataset.do) { event.preventDefault(); send(form); }
  else if (form.method === "get") {
    event.preventDefault();
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    go(`${form.getAttribute("action") ?? location.pathname}?${query}`);
  } else if (opening && !event.defaultPrevented && !form.hasAttribute("action") && form.method === "post") {
    event.preventDefault(); // the module that sends it is still on its way
    opening.then(() => form.isConnected && form.requestSubmit(event.submitter));
  }
});
document.addEventListener("input", event => {
  const field = event.target;
  if (field.type === "range") slide(field);
  const form = field.form;
  delete form?.dataset.sent;
  if (form?.dataset.keep) keep(form);
});
document.addEventListener("change", event => {
  const form = event.target.closest?.("form[data-at-once]");
  if (form) form.requestSubmit();
});
document.addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.closest?.("form")?.requestSubmit();
});
for (const [type, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(type, event => {
    const zone = event.target.closest?.(".dropzone");
    if (!zone) return;
    event.preventDefault();
    zone.classList.toggle("over", over);
    if (type === "drop" && event.dataTransfer.files.length) {
      const input = $("input[type=file]", zone);
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });
}
// A picture that is not there leaves its place empty rather than torn.
for (const [type, absent] of [["error", true], ["load", false]])
  document.addEventListener(type, event => event.target.matches?.("img") && event.target.classList.toggle("absent", absent), true);
addEventListener("popstate", () => go(location.href, { push: false }));

export function toggleTheme() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* storage is off */ }
  drawCharts(document);
}

startKeys();
opened();
listen();
