// The table: sorted by a click on a heading, or by the page's address: #sort=3, #sort=-3 for the other direction.

const table = document.getElementById("trials");
const headings = [...table.tHead.rows[0].cells];

function sortBy(column, direction) {
  const keyed = [...table.tBodies[0].rows].map((row) => {
    const cell = row.cells[column];
    const text = cell.textContent.trim();
    const value = cell.dataset.v === undefined ? NaN : Number(cell.dataset.v);
    return { row, n: Number(row.dataset.t), text, value, kind: Number.isNaN(value) ? (text && text !== "-" ? 1 : 2) : 0 };
  });
  // Numbers, then text, then what has no value: these last in both directions.
  keyed.sort((a, b) => {
    if (a.kind !== b.kind && (a.kind === 2 || b.kind === 2)) return a.kind - b.kind;
    const order = a.kind - b.kind || (a.kind === 0 ? a.value - b.value : a.text.localeCompare(b.text));
    return order * direction || a.n - b.n;
  });
  table.tBodies[0].append(...keyed.map((each) => each.row));
  headings.forEach((heading, at) => {
    heading.setAttribute("aria-sort", at !== column ? "none" : direction > 0 ? "ascending" : "descending");
  });
}

function sortAsAddressSays() {
  const found = /^#sort=(-?)([1-9][0-9]*)$/.exec(location.hash);
  if (found && Number(found[2]) <= headings.length) sortBy(Number(found[2]) - 1, found[1] ? -1 : 1);
}

headings.forEach((heading, at) => {
  heading.firstElementChild.addEventListener("click", () => {
    sortBy(at, heading.getAttribute("aria-sort") === "ascending" ? -1 : 1);
  });
});
window.addEventListener("hashchange", sortAsAddressSays);
