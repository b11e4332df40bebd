// Every finding: filter, sort, a page at a time; what a finding says unfolds below it.

const PAGE_ROWS = 50;
const table = {text: "", status: "", probe: "", arm: "", stage: "", layer: "", sort: {column: "status", down: true}, page: 0, open: new Set()};

const COLUMNS = [
  {name: "status", title: () => word("verdict"), of: (i) => F.status[i], show: (i) => badge(F.status[i])},
  {name: "stage", title: () => word("stage"), of: (i) => stageOf(i), show: (i) => code(stageOf(i) || "—"), order: byPipeline},
  {name: "layer", title: () => word("layer"), of: (i) => F.layer[i], show: (i) => (F.layer[i] < 0 ? "" : String(F.layer[i])), numeric: true},
  {name: "arm", title: () => word("arm"), of: armOf},
  {name: "prompt", title: () => word("prompt"), of: promptOf},
  {name: "phase", title: () => word("phase"), of: phaseOf},
  {name: "probe", title: () => word("probe"), of: probeOf},
  {name: "ratio", title: () => word("bound_ratio"), of: (i) => F.ratio[i], show: (i) => ratioText(F.ratio[i]), numeric: true},
  {name: "certain", title: () => word("certain_ratio"), of: (i) => F.certain[i], show: (i) => certainText(i), numeric: true},
  {name: "mae", title: () => "MAE", of: (i) => F.mae[i], show: (i) => short(F.mae[i]), numeric: true},
  {name: "max_abs", title: () => word("max_abs"), of: (i) => F.max_abs[i], show: (i) => short(F.max_abs[i]), numeric: true},
  {name: "out", title: () => word("out_of"), of: (i) => F.out[i] / Math.max(1, F.count[i]),
   show: (i) => `${grouped(F.out[i])} / ${grouped(F.count[i])}`, numeric: true},
  {name: "z", title: () => "z", of: (i) => Math.abs(F.z[i]), show: (i) => signed(F.z[i]), numeric: true},
];

// Chained findings have no certain bound.
const certainText = (i) => (F.certain[i] === 0 && F.ratio[i] > 0 ? "—" : ratioText(F.certain[i]));

let keys = null;  // of all findings in lower case, made when they are first looked for
const keyTexts = () => (keys = keys || FINDINGS.map((i) => keyOf(i).toLowerCase()));

// Words that must all stand in the key.
function chosenFindings() {
  const words = table.text.toLowerCase().split(/\s+/).filter(Boolean);
  const status = table.status === "bad" ? (s) => s !== PASS : table.status === "" ? () => true : (s) => STATUS_CLASS[s] === table.status;
  return FINDINGS.filter((i) => status(F.status[i]) && (!table.probe || probeOf(i) === table.probe) && (!table.arm || armOf(i) === table.arm) &&
      (!table.stage || stageOf(i) === table.stage) && (table.layer === "" || F.layer[i] === table.layer) &&
      words.every((w) => keyTexts()[i].includes(w)));
}

// Equal ones stay in the order of the pipeline; NaN is the largest of numbers.
function sorted(chosen) {
  const column = COLUMNS.find((c) => c.name === table.sort.column);
  const order = column.order || ((a, b) => Number.isNaN(a) - Number.isNaN(b) || d3.ascending(a, b) || 0);
  const sign = table.sort.down ? -1 : 1;
  return chosen.sort((a, b) => sign * order(column.of(a), column.of(b)) || a - b);
}

function detailOf(i) {
  const detail = DETAILS.get(i) || {};
  const facts = make("dl", {class: "facts"});
  const fact = (title, content) => content && facts.append(make("dt", {}, title), make("dd", {}, content));
  fact(word("key"), code(keyOf(i)));
  fact(word("says"), say(detail.message) || (F.status[i] === INVALID ? word("contradicts", ratioText(F.ratio[i])) : ""));
  if (detail.worst)
    fact(word("worst_element"), word("worst_text", detail.shape ? word("of_shape", detail.worst, detail.shape) : detail.worst, String(number(detail.actual)),
                                     String(number(detail.expected)), short(number(detail.bound)), ratioText(F.ratio[i])));
  fact(word("certain_ratio"), F.count[i] ? certainText(i) : "");
  if (F.count[i]) fact(word("out_of_bound"), word("out_text", grouped(F.out[i]), grouped(F.count[i]), grouped(F.beyond[i])));
  fact(word("not_finite"), detail.nan || detail.inf ? `NaN ${grouped(detail.nan || 0)}, Inf ${grouped(detail.inf || 0)}` : "");
  fact(word("bound"), NAMES.reasons[F.reason[i]] && make("span", {translate: "no"}, NAMES.reasons[F.reason[i]]));
  fact(word("kernel"), NAMES.kernels[F.kernel[i]] && code(NAMES.kernels[F.kernel[i]]));
  fact(word("contract"), NAMES.contracts[F.contract[i]] && code(NAMES.contracts[F.contract[i]]));
  fact(word("rerun"), rerunOf(i) && command(rerunOf(i)));
  if (!DETAILS.has(i)) facts.append(make("dt", {}, word("note")), make("dd", {}, word("in_verdicts")));
  return make("tr", {class: "detail"}, make("td", {colspan: COLUMNS.length + 1}, facts));
}

function findingRow(i) {
  const open = table.open.has(i);
  const toggle = make("button", {type: "button", class: "toggle", "aria-expanded": String(open), "aria-label": word("details_of", keyOf(i))}, open ? "−" : "+");
  const row = make("tr", {"data-finding": i, "data-key": keyOf(i)}, make("td", {}, toggle),
                   COLUMNS.map((c) => make("td", {class: c.numeric ? "number" : undefined, "data-column": c.name}, c.show ? c.show(i) : c.of(i))));
  const flip = () => {
    if (!table.open.delete(i)) table.open.add(i);
    const now = table.open.has(i);
    toggle.setAttribute("aria-expanded", String(now));
    toggle.textContent = now ? "−" : "+";
    if (now) row.after(detailOf(i));
    else row.nextSibling.remove();
  };
  row.addEventListener("click", (event) => !window.getSelection().toString() && (event.target.closest("button") === null || event.target === toggle) && flip());
  return open ? [row, detailOf(i)] : [row];
}

function pager(total, pages, most) {
  const go = (page) => () => { table.page = page; renderRows(); };
  const first = table.page * most;
  return make("div", {class: "pager"},
              make("button", {type: "button", id: "previous", disabled: table.page === 0, click: go(table.page - 1)}, word("previous")),
              make("span", {id: "shown", role: "status", "data-total": total},
                   total ? word("rows_shown", grouped(first + 1), grouped(Math.min(total, first + most)), grouped(total), grouped(FINDINGS.length))
                         : word("none_match")),
              make("button", {type: "button", id: "next", disabled: table.page + 1 >= pages, click: go(table.page + 1)}, word("next")));
}

// The rows below the filter, which keeps the focus. `most`: as many rows at once (a printed page turns none).
function renderRows(most = PAGE_ROWS) {
  const box = document.getElementById("finding-rows");
  const chosen = sorted(chosenFindings());
  const pages = Math.ceil(chosen.length / most);
  table.page = Math.max(0, Math.min(table.page, pages - 1));
  const shown = chosen.slice(table.page * most, (table.page + 1) * most);
  const focused = document.activeElement && (document.activeElement.dataset.sort || document.activeElement.id);
  const head = COLUMNS.map((c) => sortHeading(c.title(), c.name, table.sort, c.numeric || c.name === "status", (next) => {
    Object.assign(table, {sort: next, page: 0});
    renderRows();
  }));
  const caption = word("findings_caption");
  box.replaceChildren(pager(chosen.length, pages, most), scrollBox(caption, make("table", {class: "findings"}, make("caption", {class: "offscreen"}, caption),
      make("thead", {}, make("tr", {}, make("th", {scope: "col"}, make("span", {class: "offscreen"}, word("details"))), head)),
      make("tbody", {}, shown.flatMap(findingRow)))));
  const again = focused && (box.querySelector(`[data-sort="${focused}"]`) || (["previous", "next"].includes(focused) && document.getElementById(focused)));
  if (again) again.focus();
}

function renderFindings() {
  const body = bodyOf("findings", true);
  const choose = (what) => (value) => { Object.assign(table, {[what]: value, page: 0}); renderRows(); };
  const all = ["", word("all")];
  const stages = [...new Set(FINDINGS.map(stageOf))].filter(Boolean).sort(byPipeline);
  const layers = [...new Set(FINDINGS.map((i) => F.layer[i]))].filter((layer) => layer >= 0).sort(d3.ascending);
  const statuses = [all, ["bad", word("not_passed")], ["fail", word("fail")], ["invalid", word("invalid")], ["pass", word("pass")]];
  body.append(make("div", {class: "fields"},
      make("label", {class: "field wide"}, make("span", {}, word("filter")),
           make("input", {type: "search", id: "filter-text", value: table.text, placeholder: word("filter_hint"), input: (e) => choose("text")(e.target.value)})),
      selector("filter-status", word("verdict"), statuses, table.status, choose("status")),
      selector("filter-arm", word("arm"), [all, ...named(NAMES.arms)], table.arm, choose("arm")),
      selector("filter-stage", word("stage"), [all, ...named(stages)], table.stage, choose("stage")),
      selector("filter-layer", word("layer"), [all, ["-1", word("model_column")], ...layers.map((layer) => [String(layer), String(layer)])], String(table.layer),
               (value) => choose("layer")(value === "" ? "" : Number(value))),
      selector("filter-probe", word("probe"), [all, ...named(NAMES.probes)], table.probe, choose("probe"))),
      make("div", {id: "finding-rows"}));
  renderRows();
}

// From a map: the findings of a cell.
function showFindings(filter) {
  Object.assign(table, {text: "", status: "", probe: "", arm: "", stage: "", layer: "", page: 0}, filter);
  renderFindings();
  document.getElementById("findings").scrollIntoView();
  document.getElementById("filter-text").focus({preventScroll: true});
}

// From a sentence: one finding, unfolded.
function showFinding(i) {
  table.open.add(i);
  showFindings({text: keyOf(i)});
}
