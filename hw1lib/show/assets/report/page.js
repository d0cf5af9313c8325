"use strict";

// What is wider than its column scrolls by itself: it fades at the side where more of it is, and the keyboard reaches it.
const wide = [...document.querySelectorAll(".scroll, .output, .picture, .formula, main pre")];
function showMore({ target: box }) {
  const left = box.scrollWidth - box.clientWidth - box.scrollLeft;
  box.classList.toggle("more-left", box.scrollLeft > 1);
  box.classList.toggle("more-right", left > 1);
}
function letScroll() {
  for (const box of wide) {
    if (box.clientWidth && box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
    showMore({ target: box });
  }
}
for (const box of wide) box.addEventListener("scroll", showMore, { passive: true });
for (const fold of document.querySelectorAll("main details")) fold.addEventListener("toggle", letScroll);
addEventListener("resize", letScroll);
letScroll();

// A formula is copied as the TeX that it was written in.
addEventListener("copy", (event) => {
  const selected = document.createElement("div");
  selected.append(getSelection().getRangeAt(0).cloneContents());
  const formulas = selected.querySelectorAll(".formula");
  if (!formulas.length) return;
  for (const formula of formulas) {
    const sign = formula.classList.contains("block") ? "$$" : "$";
    formula.replaceWith(sign + formula.getAttribute("aria-label") + sign);
  }
  event.clipboardData.setData("text/plain", selected.textContent);
  event.preventDefault();
});

// Contents, and the index: on a phone closed until asked for, one at a time; the section that is being read is marked.
const contents = document.querySelector("nav .contents");
const lists = [...document.querySelectorAll("nav details")];
const narrow = matchMedia("screen and (max-width: 64rem)");
const links = [...contents.querySelectorAll("a")];
const headings = links.map((link) => document.getElementById(link.hash.slice(1)));
const fold = () => (contents.open = !narrow.matches);
narrow.addEventListener("change", fold);
fold();
for (const list of lists) {
  list.addEventListener("toggle", () => {
    if (!list.open || !narrow.matches) return;
    for (const other of lists) if (other !== list) other.open = false;
    openWhereOneReads(list);
  });
  list.addEventListener("click", (event) => {
    if (event.target.closest("a") && narrow.matches) list.open = false;
  });
}

function openWhereOneReads(list) {
  const target = (link) => document.getElementById(link.hash.slice(1));
  const top = (link) => target(link).getBoundingClientRect().top;
  const seen = [...list.querySelectorAll("a")].filter((link) => target(link).checkVisibility());
  const passed = seen.filter((link) => top(link) < innerHeight / 2);
  if (!passed.length) return;
  const last = passed.reduce((one, other) => (top(other) > top(one) ? other : one));
  const items = list.querySelector("ul");
  items.scrollTop = last.offsetTop - items.offsetTop - items.clientHeight / 2;
}

function markCurrent() {
  const left = document.documentElement.scrollHeight - innerHeight - scrollY; // the last sections never reach the top
  const line = Math.max(innerHeight / 4, innerHeight - left);
  const passed = headings.findLastIndex((h) => h.checkVisibility() && h.getBoundingClientRect().top < line);
  const current = links[Math.max(passed, 0)];
  if (current.ariaCurrent) return;
  for (const link of links) link.ariaCurrent = link === current ? "true" : null;
  for (const item of contents.querySelectorAll(":scope > ul > li")) {
    item.classList.toggle("current", item.contains(current));
  }
  // scrollIntoView would move the page too
  const sidebar = contents.parentElement;
  if (!narrow.matches) sidebar.scrollTop = current.offsetTop - sidebar.clientHeight / 2;
}
let waiting = false;
addEventListener("scroll", () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    markCurrent();
  });
});
document.documentElement.classList.add("js");
markCurrent();

// On paper nothing scrolls: the contents open, and what is too wide for A4 is made smaller; without that a browser
// makes every page smaller. Letters are 0.77 times as large on paper as on the screen; 660 pixels are 175 mm.
const unfolds = () => document.querySelectorAll(".scroll > table, .formula > svg");
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("main details:not(.code, [open])")];
  for (const fold of [contents, ...closed]) fold.open = true;
  for (const box of unfolds()) box.style.zoom = Math.min(1, 660 / (0.77 * box.getBoundingClientRect().width));
});
addEventListener("afterprint", () => {
  fold();
  for (const answer of closed) answer.open = false;
  for (const box of unfolds()) box.style.zoom = "";
});

// What the reader chose is kept where the browser allows it.
const root = document.documentElement;
function kept(name) {
  try {
    return localStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
}
function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {}
}

const allCode = document.querySelector(".all-code");
function showCode(show) {
  for (const code of document.querySelectorAll("details.code")) code.open = show;
  allCode.textContent = show ? "Hide code" : "Show code";
  keep("code", show ? "shown" : "hidden");
}
allCode.addEventListener("click", () => showCode(allCode.textContent.startsWith("Show")));
if (kept("code") === "hidden") showCode(false);

// The short version has of each section a question, a picture and a sentence; a link may lead to more.
const length = document.querySelector(".length");
function setLength(brief) {
  root.classList.toggle("brief", brief);
  length.textContent = brief ? "Show all" : "Short version";
  allCode.hidden = brief;
  for (const link of document.querySelectorAll("nav li a")) link.parentElement.hidden = false;
  if (brief) for (const link of document.querySelectorAll("nav li a")) link.parentElement.hidden = !inSight(link);
  letScroll();
}
const inSight = (link) => document.getElementById(link.hash.slice(1)).checkVisibility();
const lengthToo = document.querySelector(".length-too");
lengthToo?.addEventListener("click", () => length.click());
if (lengthToo) lengthToo.hidden = false;
length.addEventListener("click", () => {
  history.replaceState(null, "", location.pathname + location.search); // an old link may not open the rest again
  const nearest = headings.findLast((h) => h.checkVisibility() && h.getBoundingClientRect().top < innerHeight / 2);
  setLength(!root.classList.contains("brief"));
  keep("length", root.classList.contains("brief") ? "brief" : "whole");
  nearest?.scrollIntoView();
});
// A link out of the short version shows the whole; the way back leads to the short one, and to where it was.
addEventListener("click", ({ target }) => {
  const link = target.closest?.("a[href^='#']");
  if (link && root.classList.contains("brief") && !inSight(link)) history.replaceState({ y: scrollY }, "");
}, true);
addEventListener("popstate", ({ state }) => {
  if (!state) return;
  setLength(true);
  scrollTo(0, state.y);
});
function leadTo() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target || target.checkVisibility()) return;
  setLength(false);
  target.scrollIntoView();
}
addEventListener("hashchange", leadTo);
setLength(root.classList.contains("brief"));
leadTo();

// A picture opens at its own size, with its caption, so that its words can be read on a phone.
const large = document.querySelector(".large");
for (const picture of document.querySelectorAll("main img, .top img, .picture svg, .steps")) {
  picture.addEventListener("click", ({ target }) => {
    const drawing = target.closest("img, svg");
    if (!drawing) return;
    const caption = drawing.closest("figure")?.querySelector("figcaption");
    const all = picture.querySelector(".live > div") ?? drawing; // of steps all that is seen now
    large.replaceChildren(large.firstElementChild, all.cloneNode(true), ...(caption ? [caption.cloneNode(true)] : []));
    large.showModal();
  });
}
large.addEventListener("click", (event) => event.target === large && large.close());

// Light or dark: as the system has it, until the button says otherwise; kept where the browser allows it.
const scheme = document.querySelector(".scheme");
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.scheme ? root.dataset.scheme === "dark" : system.matches);
const nameScheme = () => (scheme.textContent = isDark() ? "Light" : "Dark");
root.dataset.scheme = kept("scheme");
scheme.addEventListener("click", () => {
  root.dataset.scheme = isDark() ? "light" : "dark";
  nameScheme();
  keep("scheme", root.dataset.scheme);
});
system.addEventListener("change", nameScheme);
nameScheme();
for (const button of [length, scheme]) button.hidden = false;
