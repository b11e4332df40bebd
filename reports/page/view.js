// Which findings the heat maps look at: one choice for both of them.

const view = {probe: null, prompt: "", arm: "", phase: "", head_stage: ""};

const named = (names) => names.filter((name) => name !== "").map((name) => [name, name]);

// Local stage parity shows the broken stage alone, not what follows from it: it comes first, unless it passes
// where something else does not.
function firstProbe() {
  const local = NAMES.probes.indexOf("stage_parity (local)");
  if (local < 0) return "";
  const worst = (some) => FINDINGS.reduce((w, i) => (some(i) ? Math.max(w, F.status[i]) : w), PASS);
  return worst((i) => F.probe[i] === local) === worst(() => true) ? "stage_parity (local)" : "";
}

// Probes with something to show in a map of stages.
function probesWithStages() {
  const shown = new Set();
  for (const i of FINDINGS) if (stageOf(i) && !isWeight(stageOf(i))) shown.add(probeOf(i));
  return NAMES.probes.filter((probe) => shown.has(probe));
}

const wanted = (i, withProbe) =>
    (!withProbe || !view.probe || probeOf(i) === view.probe) && (!view.prompt || promptOf(i) === view.prompt) &&
    (!view.arm || armOf(i) === view.arm) && (!view.phase || phaseOf(i) === view.phase);

// The selectors of a map; `prefix` keeps their ids apart.
function viewSelectors(prefix, withProbe) {
  const choose = (what) => (value) => {
    view[what] = value;
    renderMaps();
    document.getElementById(`${prefix}-${what}`).focus();
  };
  const worst = ["", word("all_worst")];
  const prompts = NAMES.prompts.filter((prompt) => prompt !== "weights");
  return [
    withProbe ? selector(`${prefix}-probe`, word("probe"), [worst, ...named(probesWithStages())], view.probe, choose("probe")) : null,
    selector(`${prefix}-arm`, word("arm"), [worst, ...named(NAMES.arms)], view.arm, choose("arm")),
    selector(`${prefix}-prompt`, word("prompt"), [worst, ...named(prompts)], view.prompt, choose("prompt")),
    selector(`${prefix}-phase`, word("phase"), [worst, ...named(NAMES.phases)], view.phase, choose("phase")),
  ];
}

// Prompt and phase as words of the findings' keys.
const placeFilter = () => [view.prompt && `${view.prompt}/`, view.phase && `/${view.phase}/`].filter(Boolean).join(" ");

function renderMaps() {
  renderStages();
  renderHeads();
}
