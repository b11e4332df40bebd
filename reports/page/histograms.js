// How the elements' errors lie against both bounds (bins: probes/finding.hpp).

const histogramView = {stage: "", arm: ""};
const FIRST_OUT = 14;  // this bin and those above are out of bound

const binName = (bin) => (bin === 0 ? "0" : bin === 17 ? "≥8" : bin >= 14 ? String(2 ** (bin - 14)) : `2${superscript(bin - 14)}`);

function drawHistogram(box, bins, name, title, label) {
  const x = d3.scaleBand().domain(d3.range(bins.length)).range([PLOT.left, PLOT.width - PLOT.right]).paddingInner(0.15);
  const most = Math.max(10, d3.max(bins));
  const base = PLOT.height - PLOT.bottom;
  const y = d3.scaleLog().domain([0.7, most * 1.3]).range([base, PLOT.top]);
  const svg = d3.select(box).append("svg").attr("role", "img").attr("aria-label", label).attr("class", "plot")
      .attr("data-plot", name).attr("width", PLOT.width).attr("height", PLOT.height).attr("viewBox", `0 0 ${PLOT.width} ${PLOT.height}`);
  const powers = d3.range(0, Math.floor(Math.log10(most)) + 1);
  const step = Math.ceil(powers.length / 6);
  const rows = svg.append("g").attr("class", "axis").selectAll("g").data(powers.filter((e) => e % step === 0)).join("g");
  rows.append("line").attr("x1", PLOT.left).attr("x2", PLOT.width - PLOT.right).attr("y1", (e) => y(10 ** e)).attr("y2", (e) => y(10 ** e));
  rows.append("text").attr("x", PLOT.left - 8).attr("y", (e) => y(10 ** e)).attr("dy", "0.35em").attr("text-anchor", "end")
      .text(powerText);
  const bars = svg.selectAll("rect").data(bins).join("rect").attr("class", (_, bin) => (bin >= FIRST_OUT ? "bar out" : "bar"))
      .attr("data-bin", (_, bin) => bin).attr("data-count", (count) => count)
      .attr("x", (_, bin) => x(bin)).attr("width", x.bandwidth())
      .attr("y", (count) => (count ? y(count) : base)).attr("height", (count) => (count ? base - y(count) : 0));
  bars.append("title").text((count, bin) => `${binName(bin)}: ${grouped(count)}`);
  svg.append("g").attr("class", "axis").selectAll("text").data(d3.range(0, bins.length, PLOT.width < 480 ? 2 : 1)).join("text")
      .attr("x", (bin) => x(bin) + x.bandwidth() / 2).attr("y", base + 16).attr("text-anchor", "middle").text(binName);
  svg.append("line").attr("class", "bound").attr("x1", x(FIRST_OUT) - 2).attr("x2", x(FIRST_OUT) - 2).attr("y1", PLOT.top).attr("y2", base);
  svg.append("text").attr("class", "title").attr("x", (PLOT.left + PLOT.width - PLOT.right) / 2).attr("y", PLOT.height - 4)
      .attr("text-anchor", "middle").text(title);
}

function sumBins(which) {
  const sum = new Array(18).fill(0);
  for (const entry of DATA.histograms)
    if ((!histogramView.stage || NAMES.stages[entry.stage] === histogramView.stage) &&
        (!histogramView.arm || NAMES.arms[entry.arm] === histogramView.arm))
      entry[which].forEach((count, bin) => { sum[bin] += count; });
  return sum;
}

function renderHistograms() {
  const body = bodyOf("histograms", DATA.histograms.length > 0);
  if (!DATA.histograms.length) return;
  const choose = (what) => (value) => {
    histogramView[what] = value;
    renderHistograms();
    document.getElementById(`histogram-${what}`).focus();
  };
  const stages = [...new Set(DATA.histograms.map((entry) => NAMES.stages[entry.stage]))].sort(byPipeline);
  const arms = [...new Set(DATA.histograms.map((entry) => NAMES.arms[entry.arm]))];
  body.append(make("div", {class: "fields"},
                   selector("histogram-stage", word("stage"), [["", word("all_sum")], ...named(stages)], histogramView.stage, choose("stage")),
                   selector("histogram-arm", word("arm"), [["", word("all_sum")], ...named(arms)], histogramView.arm, choose("arm"))));
  const box = plotBox(body);
  for (const [which, title] of [["expected", word("error_by_expected")], ["certain", word("error_by_certain")]]) {
    const bins = sumBins(which);
    const out = d3.sum(bins.slice(FIRST_OUT));
    drawHistogram(box, bins, which, title, word("histogram_label", title, grouped(out), grouped(d3.sum(bins)), highest(bins)));
  }
}

// The highest bin that holds anything.
const highest = (bins) => binName(Math.max(0, d3.max(bins.map((count, bin) => (count ? bin : 0)))));
