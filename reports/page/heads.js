// The layer × head map of one stage.

const headStages = () => [...new Set(DATA.heads.map((entry) => stageOf(entry.at)))].sort(byPipeline);

// The stage that fails first, or the first one.
function firstHeadStage() {
  const failing = headStages().find((stage) => DATA.heads.some((e) => stageOf(e.at) === stage && F.status[e.at] === FAIL));
  return failing || headStages()[0];
}

function headMap() {
  const chosen = DATA.heads.filter((entry) => stageOf(entry.at) === view.head_stage && wanted(entry.at, false));
  const heads = d3.max(chosen, (entry) => entry.ratio.length) || 0;
  const layers = [...new Set(chosen.map((entry) => F.layer[entry.at]))].sort(d3.ascending);
  const cells = d3.range(heads).map(() => layers.map(emptyCell));
  for (const entry of chosen)
    entry.ratio.forEach((value, head) => {
      const ratio = number(value);
      addToCell(cells[head][layers.indexOf(F.layer[entry.at])], ratio <= 1 ? PASS : FAIL, ratio, entry.at);
    });
  return {name: "heads", rows: d3.range(heads).map((head) => word("head_n", head)), columns: layers, cells};
}

function renderHeads() {
  const body = bodyOf("heads", DATA.heads.length > 0);
  if (!DATA.heads.length) return;
  const stages = selector("heads-stage", word("stage"), named(headStages()), view.head_stage, (value) => {
    view.head_stage = value;
    renderHeads();
    document.getElementById("heads-stage").focus();
  });
  body.append(make("div", {class: "fields"}, stages, viewSelectors("heads", false)));
  const map = headMap();
  if (!map.rows.length) return void body.append(make("p", {class: "note"}, word("nothing_here")));
  const worst = worstCell(map.cells.flat());
  drawHeatmap(body, {
    ...map,
    columnName: String,
    label: word("heads_label", view.head_stage, cellText(worst), keyOf(worst.finding)),
    describe: (row, column, cell) => {
      const place = `${map.rows[row]}, ${word("layer_n", map.columns[column])}`;
      return cell.count ? word("cell_says", place, cellText(cell), keyOf(cell.finding), grouped(cell.count)) : word("cell_empty", place);
    },
    pick: (row, column) => showFindings({stage: view.head_stage, layer: map.columns[column], arm: view.arm,
                                         probe: probeOf(map.cells[row][column].finding), text: placeFilter()}),
  });
  drawLegend(body);
}
