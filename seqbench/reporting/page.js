"use strict";
// Sorting, filtering, and what is known of a run; everything else stands in the page itself.
function key(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  return text !== "" && !Number.isNaN(Number(text)) ? Number(text) : ["-", "inf", "-inf"].includes(text) ? "" : text;
}
function order(a, b) {
  if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
    rows.sort(([a], [b]) => (a === "" || b === "" ? order(a, b) : (down ? -1 : 1) * order(a, b)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}
const filter = document.getElementById("filter");
if (filter) {
  const rows = [...document.querySelectorAll("#trials tbody tr")];
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length} trials`;
  });
  const data = JSON.parse(document.getElementById("data").textContent);
  const dialog = document.getElementById("detail");
  const body = document.getElementById("detail-body");
  const add = (name, text) => {
    const node = document.createElement(name);
    node.textContent = text;
    return node;
  };
  document.getElementById("trials").addEventListener("click", (event) => {
    const run = event.target.dataset.run;
    if (!run) return;
    const trial = data.trials[run];
    document.getElementById("detail-title").textContent = trial.title;
    body.replaceChildren(add("pre", trial.commands.join("\n")));
    for (const [title, values] of [["Trial", trial.about], ["Configuration", data.configs[trial.config]],
      ["Versions and machine", data.environments[trial.environment]], ["Code and data", data.origins[trial.origin]]]) {
      const list = document.createElement("dl");
      for (const [name, value] of Object.entries(values)) list.append(add("dt", name), add("dd", value));
      body.append(add("h3", title), list);
    }
    dialog.showModal();
  });
}
