// What the plots share: their size, which follows the page's width, and log axes.

const PLOT = {width: 560, height: 260, left: 54, right: 16, top: 14, bottom: 40};

// A row of plots, or a column where the page is narrow.
function plotBox(body) {
  const box = make("div", {class: "plots"});
  body.append(box);
  const room = box.clientWidth || 1200, columns = room >= 864 ? 2 : 1;
  PLOT.width = Math.max(280, Math.min(720, (room - 24 * (columns - 1)) / columns));
  return box;
}

const superscript = (n) => String(n).replace("-", "⁻").replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
const powerText = (e) => (e >= -2 && e < 3 ? String(Number((10 ** e).toPrecision(1))) : `10${superscript(e)}`);

// Ratios that a log axis cannot hold stand at its edges.
function logScale(ratios) {
  const finite = ratios.filter((r) => Number.isFinite(r) && r > 0);
  const low = Math.min(0.1, d3.min(finite) || 0.1), high = Math.max(10, d3.max(finite) || 10);
  const scale = d3.scaleLog().domain([low / 1.5, high * 1.5]).range([PLOT.height - PLOT.bottom, PLOT.top]);
  return (ratio) => scale(ratio > 0 && Number.isFinite(ratio) ? ratio : ratio === 0 ? low / 1.5 : high * 1.5);
}

function logTicks(ratios) {
  const finite = ratios.filter((r) => Number.isFinite(r) && r > 0);
  const low = Math.floor(Math.log10(Math.min(0.1, d3.min(finite) || 0.1)));
  const high = Math.ceil(Math.log10(Math.max(10, d3.max(finite) || 10)));
  const step = Math.ceil((high - low) / 7);
  return d3.range(low, high + 1).filter((e) => e % step === 0).map((e) => 10 ** e);
}
