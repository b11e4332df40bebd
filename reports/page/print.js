// On paper everything is open, and the table shows what does not pass in full.

const PRINTED_ROWS = 60;

window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    details.dataset.printed = "";
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
  table.open = table.kept || table.open;
  renderRows();
});
