// Opens what a link leads to, searches, filters, and lights up the way of a fault. The page can be read without it.
"use strict";

const tree = document.getElementById("modules");
const svg = document.querySelector(".picture svg");
const search = document.getElementById("search");
const hits = document.getElementById("hits");
const entries = [...tree.querySelectorAll("summary, .row")];
const words = new Map(entries.map((entry) => [entry, entry.textContent.toLowerCase()]));

function openUpTo(element) {
  for (let at = element; at && at !== tree; at = at.parentElement) {
    if (at.tagName === "DETAILS") at.open = true;
  }
}

function goTo(hash) {
  const target = document.getElementById(decodeURIComponent(hash.slice(1)));
  if (!target || !tree.contains(target)) return;
  clearSearch();
  openUpTo(target);
  document.querySelectorAll(".here").forEach((old) => old.classList.remove("here"));
  const line = target.tagName === "DETAILS" ? target.querySelector("summary") : target;
  line.classList.add("here");
  line.setAttribute("tabindex", line.tagName === "SUMMARY" ? "0" : "-1");
  line.focus({ preventScroll: true });
  line.scrollIntoView({ block: "center" });
}

function clearSearch() {
  search.value = "";
  only.checked = false;
  document.body.classList.remove("only-mixes");
  find();
}

// Shows the entries that contain every word of the search, and the modules around them.
function find() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = entries.filter((entry) => wanted.every((word) => words.get(entry).includes(word)));
  const shown = new Set();
  if (wanted.length) {
    for (const entry of found) {
      for (let at = entry; at && at !== tree; at = at.parentElement) shown.add(at);
    }
  }
  for (const part of tree.querySelectorAll("details, .row")) {
    part.classList.toggle("missing", wanted.length > 0 && !shown.has(part));
    if (wanted.length && part.tagName === "DETAILS" && shown.has(part)) part.open = true;
  }
  hits.textContent = wanted.length ? `${found.length} of ${entries.length}` : "";
}

function light(number) {
  svg?.classList.toggle("lit", Boolean(number));
  svg?.querySelectorAll(".on").forEach((old) => old.classList.remove("on"));
  if (number) svg?.querySelectorAll(`.story${number}`).forEach((part) => part.classList.add("on"));
}

function storyOf(element) {
  const finding = element.closest?.("[data-story]");
  if (finding) return finding.dataset.story;
  const part = element.closest?.(".picture [class*=story]");
  return [...(part?.classList ?? [])].find((name) => /^story\d+$/.test(name))?.slice(5);
}

const only = document.getElementById("only");
only.addEventListener("change", () => {
  document.body.classList.toggle("only-mixes", only.checked);
  if (only.checked) tree.querySelectorAll("details.mixes").forEach((module) => { module.open = true; });
});
search.addEventListener("input", find);
search.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { search.value = ""; find(); }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && event.target !== search) { event.preventDefault(); search.focus(); }
});
for (const [start, end] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  document.addEventListener(start, (event) => light(storyOf(event.target)));
  document.addEventListener(end, () => light(""));
}
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a");
  const to = link?.getAttribute("href") ?? link?.getAttribute("xlink:href") ?? "";
  if (to.startsWith("#") && to === location.hash) goTo(to);  // the same place once more
});
window.addEventListener("hashchange", () => goTo(location.hash));
if (location.hash) goTo(location.hash);
