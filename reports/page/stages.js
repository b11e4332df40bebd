// The layer × stage map.

function stageMap() {
  const chosen = FINDINGS.filter((i) => stageOf(i) && !isWeight(stageOf(i)) && wanted(i, true));
  const rows = [...new Set(chosen.map(stageOf))].sort(byPipeline);
  const last = d3.max(chosen, (i) => F.layer[i]);
  const columns = chosen.length ? d3.range(chosen.some((i) => F.layer[i] < 0) ? -1 : 0, last + 1) : [];
  const cells = rows.map(() => columns.map(emptyCell));
  const rowAt = new Map(rows.map((name, row) => [name, row]));
  for (const i of chosen) addToCell(cells[rowAt.get(stageOf(i))][F.layer[i] - columns[0]], F.status[i], F.ratio[i], i);
  return {name: "stages", rows, columns, cells};
}

function renderStages() {
  const body = bodyOf("stages", FINDINGS.some((i) => stageOf(i) && !isWeight(stageOf(i))));
  body.append(make("div", {class: "fields"}, viewSelectors("stages", true)));
  const map = stageMap();
  if (!map.rows.length) return void body.append(make("p", {class: "note"}, word("nothing_here")));
  const layerName = (column) => (column < 0 ? word("model_column") : String(column));
  const worst = worstCell(map.cells.flat());
  drawHeatmap(body, {
    ...map,
    columnName: layerName,
    label: word("stages_label", cellText(worst), keyOf(worst.finding)),
    describe: (row, column, cell) => {
      const place = `${map.rows[row]}, ${map.columns[column] < 0 ? word("model_column") : word("layer_n", map.columns[column])}`;
      return cell.count ? word("cell_says", place, cellText(cell), keyOf(cell.finding), grouped(cell.count)) : word("cell_empty", place);
    },
    pick: (row, column) => showFindings({stage: map.rows[row], layer: map.columns[column], probe: view.probe, arm: view.arm,
                                         text: placeFilter()}),
  });
  drawLegend(body);
}
