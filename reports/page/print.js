// On paper everything is open, and the table shows what does not pass in full.

const PRINTED_ROWS = 60, PAPER = 680;

window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    details.dataset.printed = "";
  }
  for (const map of document.querySelectorAll(".heatmap")) {  // a map of many layers shrinks to the paper's width
    const wide = [...map.querySelectorAll("svg")].reduce((sum, svg) => sum + Number(svg.getAttribute("width")), 0);
    map.style.zoom = Math.min(1, PAPER / wide);
  }
  table.kept = new Set(table.open);
  for (const i of sorted(chosenFindings()).slice(0, PRINTED_ROWS)) if (F.status[i] !== PASS) table.open.add(i);
  table.page = 0;
  renderRows(PRINTED_ROWS);
});

window.addEventListener("afterprint", () => {
  for (const details of document.querySelectorAll("details[data-printed]")) {
    details.open = false;
    delete details.dataset.printed;
  }
  for (const map of document.querySelectorAll(".heatmap")) map.style.zoom = 1;
  table.open = table.kept || table.open;
  renderRows();
});
