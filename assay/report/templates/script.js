"use strict";
// The page is complete without this script; it adds search, filters whose state is in the address, and opening on arrival.
const byId = (id) => document.getElementById(id);
const articles = [...document.querySelectorAll("article.statement")];
const sections = [...document.querySelectorAll("section.question, section.document")];
const choices = ["verdict", "topic", "document", "grade", "subject"];
const tools = byId("tools");
const furniture = ".badge, .tag, .copy, .again, .about, .related, .sampled, .turned, .verdict, caption, thead, dt, h6, svg, [class^=o-]";
const joined = new Set(["SUB", "SUP", "CODE", "B", "I"]); // these do not part the words around them; neither do formulas, named in small letters
let texts = null;
let later = 0;

// Typed and printed forms of the same thing become one: British and American, minus signs, blanks around an operator, quotation marks.
function plain(text) {
  return text.normalize("NFKC").toLowerCase().replace(/["'“”„‘’`_]/g, "").replace(/[−–]/g, "-").replace(/<=/g, "≤").replace(/>=/g, "≥")
    .replace(/(?<=\d)×(?=\d)/g, "x").replace(/\s*([-+=/<>≤≥·×])\s*/g, "$1").replace(/is/g, "iz").replace(/\s+/g, " ");
}

function written(article) {
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) =>
    node.nodeType === 1 && node.matches(furniture) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
  let text = "";
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.nodeType === 3) text += node.data;
    else if (!joined.has(node.tagName) && node.tagName < "a") text += " ";
  }
  return plain(text);
}

function indexed() {
  texts ??= articles.map(written);
  return texts;
}

// One or two letters are looked for as a word of their own: "He" is in "the" too often. What is no word anywhere may be a beginning.
function matcher(word) {
  const part = (text) => text.includes(word);
  if (!/^[\p{L}\p{N}]{1,2}$/u.test(word)) return part;
  const whole = new RegExp(`(?<![\\p{L}\\p{N}])${word}(?![\\p{L}\\p{N}])`, "u");
  return indexed().some((text) => whole.test(text)) ? (text) => whole.test(text) : part;
}

function wanted() {
  const words = plain(byId("q").value).split(" ").filter(Boolean).map(matcher);
  const fixed = choices.map((name) => [name, byId(name).value]).filter(([, value]) => value);
  return { words, fixed };
}

function filter() {
  const { words, fixed } = wanted();
  const text = words.length ? indexed() : null;
  let shown = 0;
  articles.forEach((article, k) => {
    const fits = fixed.every(([name, value]) => article.dataset[name].split(" ").includes(value)) && words.every((found) => found(text[k]));
    if (article.hidden === fits) article.hidden = !fits;
    shown += fits;
  });
  const narrowed = words.length + fixed.length > 0;
  for (const section of sections) {
    const empty = narrowed && !section.querySelector("article:not([hidden])");
    if (section.hidden !== empty) section.hidden = empty;
  }
  byId("nothing").hidden = shown > 0;
  document.querySelector("main").classList.toggle("narrowed", narrowed);
  byId("shown").value = narrowed ? `${shown} of ${articles.length} statements` : `${articles.length} statements`;
  byId("printed").textContent = narrowed ? `${byId("shown").value}: ${inWords(fixed)}` : "";
}

function inWords(fixed) {
  const said = fixed.map(([name]) => `${name} ${byId(name).selectedOptions[0].textContent}`);
  return [...said, ...(byId("q").value ? [`search ${byId("q").value}`] : [])].join(", ");
}

function remember() {
  const state = new URLSearchParams();
  for (const name of ["q", ...choices]) if (byId(name).value) state.set(name, byId(name).value);
  history.replaceState(null, "", "#" + state);
}

function restore(fragment) {
  const state = new URLSearchParams(fragment);
  for (const name of ["q", ...choices]) byId(name).value = state.get(name) ?? "";
  for (const name of choices) if (byId(name).selectedIndex < 0) byId(name).value = ""; // no such choice
  filter();
}

function clear() {
  clearTimeout(later);
  restore("");
  history.replaceState(null, "", "#");
}

function reveal(target) {
  const place = target.closest("article") ?? target;
  if (place.closest("[hidden]")) restore("");
  for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  if (target.matches("details")) target.open = true;
  place.scrollIntoView();
  requestAnimationFrame(() => place.scrollIntoView()); // what just came into view has its true height only now
}

function decoded(fragment) {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

function arrive() {
  clearTimeout(later);
  const fragment = location.hash.slice(1);
  if (!fragment) return restore("");
  if (fragment.includes("=")) {
    restore(fragment);
    byId("statements").focus({ preventScroll: true });
    byId("statements").scrollIntoView();
    return;
  }
  const target = byId(decoded(fragment));
  if (target) return reveal(target);
  byId("shown").value = `Nothing on this page is called ${decoded(fragment)}.`;
  tools.scrollIntoView();
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
  folded = [...document.querySelectorAll("details:not([open])")].filter((box) => !box.closest("[hidden], .narrowed > .ways, .narrowed > .topics"));
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
