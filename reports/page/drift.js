// Drift by layer and by position: the worst bound ratio of the chained findings, a line an arm.

const driftView = {prompt: ""};

// lines: {arm, points: [[name, ratio], …]}; names: the ticks along x.
function drawLines(box, {name, title, lines, names, label}) {
  const ratios = lines.flatMap((line) => line.points.map((point) => point[1]));
  const y = logScale(ratios);
  const x = d3.scalePoint().domain(names).range([PLOT.left, PLOT.width - PLOT.right]).padding(0.5);
  const svg = d3.select(box).append("svg").attr("role", "img").attr("aria-label", label).attr("class", "plot")
      .attr("data-plot", name).attr("width", PLOT.width).attr("height", PLOT.height).attr("viewBox", `0 0 ${PLOT.width} ${PLOT.height}`);
  const ticks = logTicks(ratios).filter((r) => y(r) >= PLOT.top && y(r) <= PLOT.height - PLOT.bottom);
  const rows = svg.append("g").attr("class", "axis").selectAll("g").data(ticks).join("g");
  rows.append("line").attr("x1", PLOT.left).attr("x2", PLOT.width - PLOT.right).attr("y1", y).attr("y2", y);
  rows.append("text").attr("x", PLOT.left - 8).attr("y", y).attr("dy", "0.35em").attr("text-anchor", "end")
      .text((r) => powerText(Math.round(Math.log10(r))));
  const every = Math.ceil(names.length * 44 / PLOT.width);
  svg.append("g").attr("class", "axis").selectAll("text").data(names.filter((_, i) => i % every === 0)).join("text")
      .attr("x", x).attr("y", PLOT.height - PLOT.bottom + 16).attr("text-anchor", "middle").text((d) => d);
  svg.append("text").attr("class", "title").attr("x", (PLOT.left + PLOT.width - PLOT.right) / 2).attr("y", PLOT.height - 4)
      .attr("text-anchor", "middle").text(title);
  svg.append("line").attr("class", "bound").attr("x1", PLOT.left).attr("x2", PLOT.width - PLOT.right).attr("y1", y(1)).attr("y2", y(1));
  svg.append("text").attr("class", "bound").attr("x", PLOT.width - PLOT.right).attr("y", y(1) - 4).attr("text-anchor", "end").text(word("bound"));
  const line = d3.line().x((point) => x(point[0])).y((point) => y(point[1]));
  for (const [at, one] of lines.entries()) {
    const group = svg.append("g").attr("class", `line l${at % 6}`);
    group.append("path").attr("d", line(one.points));
    group.selectAll("path.mark").data(one.points).join("path").attr("class", "mark")
        .attr("data-arm", one.arm).attr("data-at", (point) => point[0]).attr("data-ratio", (point) => point[1])
        .attr("d", d3.symbol().type(d3.symbols[at % 6]).size(44))
        .attr("transform", (point) => `translate(${x(point[0])},${y(point[1])})`)
        .append("title").text((point) => `${one.arm}, ${point[0]}: ${ratioText(point[1])}`);
  }
}

function lineLegend(arms) {
  const keys = arms.map((arm, at) => {
    const svg = d3.create("svg").attr("width", 14).attr("height", 14).attr("class", `line l${at % 6}`).attr("aria-hidden", "true");
    svg.append("path").attr("class", "mark").attr("transform", "translate(7,7)").attr("d", d3.symbol().type(d3.symbols[at % 6]).size(54));
    return make("span", {class: "step"}, svg.node(), arm);
  });
  return make("p", {class: "legend"}, make("span", {}, word("arm")), keys);
}

const rangeText = ([first, last]) => (first === last ? String(first) : `${first}–${last}`);
const worstRatio = (ratios) => ratios.reduce((a, b) => (isWorse(0, b, 0, a) ? b : a));

function driftPlots(body) {
  const prompts = [...new Set(DATA.drift.map((line) => line.prompt))];
  const choices = prompts.map((prompt) => [prompt, prompt || word("all_worst")]);
  body.append(make("div", {class: "fields"}, selector("drift-prompt", word("prompt"), choices, driftView.prompt, (value) => {
    driftView.prompt = value;
    renderDrift();
    document.getElementById("drift-prompt").focus();
  })));
  const chosen = DATA.drift.filter((line) => line.prompt === driftView.prompt);
  const layers = chosen.map((line) => ({arm: line.arm, points: [
    ...line.layers.map((point) => [rangeText(point), number(point[2])]),
    ...(line.logits === undefined ? [] : [["logits", number(line.logits)]])]}));
  const positions = chosen.map((line) => ({arm: line.arm, points: line.positions.map((p) => [rangeText(p), number(p[2])])}));
  const namesOf = (lines) => lines.reduce((a, b) => (b.points.length > a.length ? b.points.map((p) => p[0]) : a), []);
  const box = plotBox(body);
  for (const [name, lines, title] of [["layers", layers, word("after_layer")], ["positions", positions, word("at_position")]]) {
    const ratios = lines.flatMap((line) => line.points.map((point) => point[1]));
    if (ratios.length)
      drawLines(box, {name, title, lines, names: namesOf(lines), label: word("drift_label", title, ratioText(worstRatio(ratios)))});
  }
  body.append(lineLegend(chosen.map((line) => line.arm)));
}

function biasTable(body) {
  const rows = DATA.bias.map(([stage, arm, z, findings]) => [code(stage), signed(number(z)), arm, grouped(findings)]);
  body.append(make("p", {class: "lead"}, word("bias_lead")));
  body.append(plainTable(word("bias_title"), [{title: word("stage")}, {title: "z", numeric: true}, {title: word("arm")},
                                              {title: word("tensors"), numeric: true}], rows, {style: "compact"}));
}

const signed = (z) => (z > 0 ? "+" : "") + (Number.isFinite(z) ? z.toFixed(1) : short(z));

function renderDrift() {
  const body = bodyOf("drift", DATA.drift.length + DATA.bias.length > 0);
  if (DATA.drift.length) driftPlots(body);
  if (DATA.bias.length) biasTable(body);
}
