"use strict";
for (const details of document.querySelectorAll("details")) {
  const body = details.querySelector("tbody");
  if (!body) continue;
  const rows = [...body.rows];
  details.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    }
  });
  details.querySelectorAll("th").forEach((head, column) => {
    let direction = -1;
    head.addEventListener("click", () => {
      direction = -direction;
      const order = (one, other) => {
        const [a, b] = [one.cells[column], other.cells[column]];
        const by = a.className === "count"
          ? Number(a.textContent) - Number(b.textContent)
          : a.textContent.localeCompare(b.textContent);
        return direction * by;
      };
      body.append(...rows.sort(order));
    });
  });
}
