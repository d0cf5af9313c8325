"use strict";

// MathJax reads this object when it starts. No menu: its entries would fetch more of MathJax from the network.
window.MathJax = {
  tex: { inlineMath: [["$", "$"], ["\\(", "\\)"]], displayMath: [["$$", "$$"], ["\\[", "\\]"]], processEscapes: true },
  svg: { fontCache: "global" },
  options: { enableMenu: false, skipHtmlTags: ["script", "style", "pre", "code"] },
  startup: {
    pageReady() {
      return MathJax.startup.defaultPageReady().then(letScroll);
    },
  },
};

// What is wider than its column scrolls by itself, and can be reached and moved with the keyboard.
function letScroll() {
  for (const formula of document.querySelectorAll("mjx-container:not([display])")) {
    const column = formula.closest("p, li, h1, h2, h3, figcaption, div");
    formula.classList.toggle("wide", formula.firstElementChild.getBoundingClientRect().width > column.clientWidth);
  }
  for (const box of document.querySelectorAll(".scroll, main pre, mjx-container.wide, mjx-container[display]")) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
addEventListener("resize", letScroll);

// Contents: closed on a phone until asked for; the part that is being read is marked.
const contents = document.querySelector("nav > details");
const narrow = matchMedia("screen and (max-width: 64rem)");
const fold = () => (contents.open = !narrow.matches);
narrow.addEventListener("change", fold);
fold();
contents.addEventListener("click", (event) => {
  if (event.target.closest("a") && narrow.matches) contents.open = false;
});

// On paper nothing scrolls: the contents open, and a table that is too wide for A4 is made smaller; without that a
// browser makes every page smaller. Letters are 0.77 times as large on paper as on the screen; 660 pixels are 175 mm.
addEventListener("beforeprint", () => {
  contents.open = true;
  for (const table of document.querySelectorAll(".scroll > table")) {
    table.style.zoom = Math.min(1, 660 / (0.77 * table.offsetWidth));
  }
});
addEventListener("afterprint", () => {
  fold();
  for (const table of document.querySelectorAll(".scroll > table")) table.style.zoom = "";
});

const links = [...document.querySelectorAll("nav > details > ul a")];
const headings = links.map((link) => document.getElementById(link.hash.slice(1)));
function markCurrent() {
  const left = document.documentElement.scrollHeight - innerHeight - scrollY; // the last sections never reach the top
  const line = Math.max(innerHeight / 4, innerHeight - left);
  const passed = headings.filter((heading) => heading.getBoundingClientRect().top < line).length;
  const current = links[Math.max(passed - 1, 0)];
  if (current.ariaCurrent) return;
  for (const link of links) link.ariaCurrent = link === current ? "true" : null;
  for (const item of document.querySelectorAll("nav > details > ul > li")) {
    item.classList.toggle("current", item.contains(current));
  }
  // scrollIntoView would move the page too
  if (!narrow.matches) contents.scrollTop = current.offsetTop - contents.clientHeight / 2;
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

const button = document.querySelector("nav button");
button.hidden = false;
button.addEventListener("click", () => {
  const show = button.textContent.startsWith("Show");
  for (const code of document.querySelectorAll("details.code")) code.open = show;
  button.textContent = show ? "Hide all code" : "Show all code";
});
