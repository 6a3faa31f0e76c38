"use strict";
// The page is complete without this script; it adds search, filters whose state is in the address, and opening on arrival.
const byId = (id) => document.getElementById(id);
const articles = [...document.querySelectorAll("article.statement")];
const sections = [...document.querySelectorAll("section.question, section.document")];
const choices = ["verdict", "topic", "document", "grade", "subject"];
const tools = byId("tools");
let texts = null;
let later = 0;

function indexed() {
  texts ??= articles.map((article) => article.textContent.toLowerCase());
  return texts;
}

function wanted() {
  const words = byId("q").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fixed = choices.map((name) => [name, byId(name).value]).filter(([, value]) => value);
  return { words, fixed };
}

function filter() {
  const { words, fixed } = wanted();
  const text = words.length ? indexed() : null;
  let shown = 0;
  articles.forEach((article, k) => {
    const fits = fixed.every(([name, value]) => article.dataset[name].split(" ").includes(value)) && words.every((word) => text[k].includes(word));
    if (article.hidden === fits) article.hidden = !fits;
    shown += fits;
  });
  const narrowed = words.length + fixed.length > 0;
  for (const section of sections) {
    const empty = narrowed && !section.querySelector("article:not([hidden])");
    if (section.hidden !== empty) section.hidden = empty;
  }
  byId("nothing").hidden = shown > 0;
  byId("shown").value = narrowed ? `${shown} of ${articles.length} statements` : `${articles.length} statements`;
}

function remember() {
  const state = new URLSearchParams();
  for (const name of ["q", ...choices]) if (byId(name).value) state.set(name, byId(name).value);
  history.replaceState(null, "", "#" + state);
}

function restore(fragment) {
  const state = new URLSearchParams(fragment);
  for (const name of ["q", ...choices]) byId(name).value = state.get(name) ?? "";
  filter();
}

function clear() {
  clearTimeout(later);
  restore("");
  history.replaceState(null, "", "#");
}

function reveal(target) {
  const article = target.closest("article");
  if (article?.hidden) restore("");
  for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  if (target.matches("details")) target.open = true;
  (article ?? target).scrollIntoView();
}

function arrive() {
  clearTimeout(later);
  const fragment = location.hash.slice(1);
  if (fragment.includes("=")) {
    restore(fragment);
    byId("statements").scrollIntoView();
    return;
  }
  const target = fragment && byId(decodeURIComponent(fragment));
  if (target) reveal(target);
}

async function copy(button) {
  const code = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Selected: press Ctrl+C";
  }
}

function unfold(open) {
  for (const article of articles) {
    const box = article.querySelector("details");
    if (box && !article.hidden) box.open = open;
  }
  byId("unfold").textContent = open ? "Close all" : "Open all";
}

let folded = [];
function openForPrint() {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const box of folded) box.open = true;
}
function foldAfterPrint() {
  for (const box of folded) box.open = false;
}

// A browser may refuse to keep anything for a local file; the switch then works until the page is closed.
function kept(theme) {
  try {
    if (theme) localStorage.setItem("assay-theme", theme);
    return localStorage.getItem("assay-theme") ?? "auto";
  } catch {
    return theme ?? "auto";
  }
}

function wear(theme) {
  document.documentElement.dataset.theme = theme;
  for (const radio of document.getElementsByName("theme")) radio.checked = radio.value === theme;
}

document.documentElement.classList.add("js");
tools.hidden = false;
wear(kept());
document.querySelector(".theme").addEventListener("change", (event) => wear(kept(event.target.value)));
tools.addEventListener("input", () => {
  filter();
  clearTimeout(later);
  later = setTimeout(remember, 200); // the answer comes first: changing the address costs as much as the search
});
tools.addEventListener("submit", (event) => event.preventDefault());
tools.addEventListener("reset", (event) => { event.preventDefault(); clear(); });
byId("again").addEventListener("click", () => { clear(); byId("q").focus(); });
byId("unfold").addEventListener("click", () => unfold(byId("unfold").textContent === "Open all"));
document.addEventListener("click", (event) => {
  if (event.target.matches(".copy")) copy(event.target);
  const link = event.target.closest?.("a[href^='#']");
  if (link && link.hash === location.hash) arrive();
});
addEventListener("hashchange", arrive);
addEventListener("beforeprint", openForPrint);
addEventListener("afterprint", foldAfterPrint);
byId("q").addEventListener("focus", indexed, { once: true });
filter();
arrive();
// The browser scrolls to its own idea of the place once all is loaded; a search begun meanwhile has left no target.
addEventListener("load", () => requestAnimationFrame(() => document.querySelector(":target") && arrive()));
