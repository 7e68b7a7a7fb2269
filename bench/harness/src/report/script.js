"use strict";
// Legend: a press emphasises a contender wherever it is drawn (Stratalloc stays), a second press lets go.
(() => {
  const chosen = new Set();
  const buttons = document.querySelectorAll(".legend button");
  const show = () => {
    for (const button of buttons) button.setAttribute("aria-pressed", chosen.has(button.dataset.c));
    for (const element of document.querySelectorAll("main [data-c], header .strip [data-c]"))
      element.classList.toggle("dim", chosen.size > 0 && !chosen.has(element.dataset.c) && element.dataset.c !== "0");
  };
  for (const button of buttons)
    button.addEventListener("click", () => {
      if (!chosen.delete(button.dataset.c)) chosen.add(button.dataset.c);
      show();
    });
})();
// Tables: a press on a heading sorts each group of rows by that column; three presses bring the order back.
for (const heading of document.querySelectorAll("th[data-sort]")) {
  heading.addEventListener("click", () => {
    const table = heading.closest("table");
    const now = heading.getAttribute("aria-sort");
    const next = { ascending: "descending", descending: null }[now] ?? (now === null ? "ascending" : null);
    for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
    if (next) heading.setAttribute("aria-sort", next);
    const column = [...heading.parentNode.children].indexOf(heading);
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => row.cells.length > column && !row.classList.contains("mean"));
      rows.forEach((row, index) => (row.dataset.place ??= index));
      const key = (row) => {
        const value = parseFloat(row.cells[column].dataset.value ?? row.cells[column].textContent);
        return Number.isNaN(value) ? Infinity : value;
      };
      const order = next === null ? (a, b) => a.dataset.place - b.dataset.place
        : next === "ascending" ? (a, b) => key(a) - key(b) || a.dataset.place - b.dataset.place
        : (a, b) => key(b) - key(a) || a.dataset.place - b.dataset.place;
      for (const row of rows.sort(order)) body.append(row);
    }
  });
}
// A link to a workload opens its description.
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
};
addEventListener("hashchange", reveal);
reveal();
