// The run's data, as reports/page_data.hpp lays them out.

const DATA = JSON.parse(document.getElementById("data").textContent);
const RUN = DATA.run;
const F = DATA.findings;  // columns
const NAMES = DATA.names;
const PASS = 0, FAIL = 1, INVALID = 2;
const DETAILS = new Map(DATA.details.map((detail) => [detail.at, detail]));
const FINDINGS = d3.range(F.status.length);

// JSON has no NaN and no infinity: such numbers come as strings.
const number = (value) => (typeof value === "number" ? value : Number(value));
for (const column of ["ratio", "certain", "mae", "max_abs", "z"]) F[column] = F[column].map(number);

// A text of the run in the page's language; "" where there is none.
function say(index) {
  if (index === undefined || index < 0) return "";
  const text = DATA.texts[index];
  return typeof text === "string" ? text : text[language === "es" ? 1 : 0];
}

const probeOf = (i) => NAMES.probes[F.probe[i]];
const promptOf = (i) => NAMES.prompts[F.prompt[i]];
const armOf = (i) => NAMES.arms[F.arm[i]];
const phaseOf = (i) => NAMES.phases[F.phase[i]];
const stageOf = (i) => NAMES.stages[F.stage[i]];
const isWeight = (stage) => stage.startsWith("weight/");

// The report's key of a finding: "p0_short/auto/decode0/layer_03/softmax stage_parity(local)".
function keyOf(i) {
  const layer = F.layer[i] < 0 ? "" : `/layer_${String(F.layer[i]).padStart(2, "0")}`;
  const stage = stageOf(i) ? `/${stageOf(i)}` : "";
  return `${promptOf(i)}/${armOf(i)}/${phaseOf(i)}${layer}${stage} ${probeOf(i).replace(" (", "(")}`;
}

const shellQuoted = (text) => `'${text.replace(/'/g, "'\\''")}'`;

// The command that runs just this comparison again.
function rerunOf(i) {
  if (!RUN.rerun || RUN.rerun.includes(" --only ")) return RUN.rerun;
  return `${RUN.rerun} --only ${shellQuoted(keyOf(i))}`;
}

// Worst by status, then by ratio; NaN is worse than infinity.
function isWorse(statusA, a, statusB, b) {
  if (statusA !== statusB) return statusA > statusB;
  if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a);
  return a > b;
}

// Stages in the order of the forward pass; names that are no stage come last, by name.
const STAGE_ORDER = new Map(NAMES.stage_order.map((name, i) => [name, i]));
function byPipeline(a, b) {
  const order = (name) => (STAGE_ORDER.has(name) ? STAGE_ORDER.get(name) : NAMES.stage_order.length);
  return order(a) - order(b) || d3.ascending(a, b);
}

const countOf = (status) => F.status.reduce((sum, s) => sum + (s === status), 0);
