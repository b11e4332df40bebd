// A heat map of bound ratios on a log scale: labels that stay, cells that scroll, a line that says what is pointed at.

const CELL = {width: 58, widest: 92, height: 24, gap: 2};

// The step of the scale that a cell stands on; colours and their contrast are in page.css.
function levelOf(cell) {
  if (!cell.count) return "none";
  if (cell.status === INVALID) return "invalid";
  if (cell.status === PASS) return "p" + d3.bisectRight([0.001, 0.01, 0.1, 0.3], cell.ratio);
  return "f" + (Number.isNaN(cell.ratio) ? 3 : d3.bisectRight([10, 1e3, 1e6], cell.ratio));
}

function cellText(cell) {
  if (!cell.count) return "·";
  if (cell.status === INVALID) return Number.isNaN(cell.ratio) ? "?nan" : "?";
  if (cell.status === PASS) return ratioText(cell.ratio);
  return cell.ratio <= 1 ? "✗" : "✗" + ratioText(cell.ratio);
}

// The worst of what falls into a cell; `finding` is where that was.
function emptyCell() { return {count: 0, status: PASS, ratio: 0, finding: -1}; }
function addToCell(cell, status, ratio, finding) {
  if (cell.count++ === 0 || isWorse(status, ratio, cell.status, cell.ratio))
    Object.assign(cell, {status, ratio, finding});
}

function worstCell(cells) {
  return cells.filter((c) => c.count).reduce((a, b) => (a && !isWorse(b.status, b.ratio, a.status, a.ratio) ? a : b), null);
}

// map: {name, rows, columns, columnName(column), cells[row][column], label, describe(row, column, cell), pick(row, column)}
function drawHeatmap(box, map) {
  const left = d3.max(map.rows, (name) => name.length) * 7.4 + 12;
  const step = Math.max(CELL.width, Math.min(CELL.widest, Math.floor((box.clientWidth - left) / map.columns.length)));
  const width = map.columns.length * step, height = (map.rows.length + 1) * CELL.height;
  const y = (row) => (row + 1) * CELL.height;
  const frame = d3.select(box).append("div").attr("class", "heatmap").attr("data-map", map.name);

  const names = frame.append("svg").attr("class", "names").attr("width", left).attr("height", height).attr("aria-hidden", "true");
  names.selectAll("text").data(map.rows).join("text").attr("x", left - 8).attr("text-anchor", "end")
      .attr("y", (_, row) => y(row) + CELL.height / 2).attr("dy", "0.35em").text((name) => name);

  const scroll = frame.append("div").attr("class", "scroll").attr("tabindex", 0).attr("role", "group")
      .attr("aria-label", word("map_keys"));
  const svg = scroll.append("svg").attr("role", "img").attr("aria-label", map.label).attr("width", width).attr("height", height);
  svg.append("g").attr("class", "heads").selectAll("text").data(map.columns).join("text")
      .attr("x", (_, column) => (column + 0.5) * step).attr("y", CELL.height / 2).attr("dy", "0.35em")
      .attr("text-anchor", "middle").text(map.columnName);

  const flat = map.rows.flatMap((name, row) => map.columns.map((at, column) => ({row, column, cell: map.cells[row][column]})));
  const cells = svg.selectAll("g.cell").data(flat).join("g")
      .attr("class", (d) => `cell ${levelOf(d.cell)}`)
      .attr("transform", (d) => `translate(${d.column * step},${y(d.row)})`)
      .attr("data-row", (d) => map.rows[d.row]).attr("data-column", (d) => map.columns[d.column])
      .attr("data-count", (d) => d.cell.count).attr("data-status", (d) => STATUS_CLASS[d.cell.status])
      .attr("data-ratio", (d) => d.cell.ratio);
  cells.append("rect").attr("x", CELL.gap / 2).attr("y", CELL.gap / 2).attr("rx", 3)
      .attr("width", step - CELL.gap).attr("height", CELL.height - CELL.gap);
  cells.append("text").attr("x", step / 2).attr("y", CELL.height / 2).attr("dy", "0.35em").attr("text-anchor", "middle")
      .classed("long", (d) => cellText(d.cell).length > 6).text((d) => cellText(d.cell));

  const readout = d3.select(box).append("p").attr("class", "readout").attr("aria-live", "polite").text(word("map_hint"));
  const point = (d) => {
    cells.classed("pointed", (other) => other === d);
    readout.text(map.describe(d.row, d.column, d.cell));
  };
  cells.on("mouseenter", point).on("click", (d) => d.cell.count && map.pick(d.row, d.column));
  walkByKeys(scroll.node(), map, step, (row, column) => point(flat[row * map.columns.length + column]));
}

// Arrow keys go from cell to cell, Enter picks.
function walkByKeys(node, map, width, point) {
  const at = {row: 0, column: -1};
  const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && at.column >= 0 && map.cells[at.row][at.column].count) map.pick(at.row, at.column);
    if (!step[event.key]) return;
    event.preventDefault();
    at.row = Math.max(0, Math.min(map.rows.length - 1, at.row + (at.column < 0 ? 0 : step[event.key][0])));
    at.column = Math.max(0, Math.min(map.columns.length - 1, at.column + step[event.key][1]));
    point(at.row, at.column);
    node.scrollLeft = (at.column + 0.5) * width - node.clientWidth / 2;
  });
}

function drawLegend(box) {
  const steps = [["p0", "< 0.001"], ["p1", "< 0.01"], ["p2", "< 0.1"], ["p3", "< 0.3"], ["p4", "≤ 1"],
                 ["f0", "✗ < 10"], ["f1", "✗ < 1e3"], ["f2", "✗ < 1e6"], ["f3", "✗ ≥ 1e6"],
                 ["invalid", `? ${word("legend_invalid")}`], ["none", `· ${word("legend_none")}`]];
  box.append(make("p", {class: "legend"}, make("span", {}, word("legend_ratio")),
                  steps.map(([level, text]) => make("span", {class: `step ${level}`}, text))));
}
