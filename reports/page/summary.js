// What an engineer under pressure reads first: the verdict, the first failing stage, the proved cause; a sentence each.

// An arm stands for itself, or for whether what its suite expects of it came.
const expects = (arm) => arm.expected >= 0;
const outcomeOf = (arm) => (expects(arm) ? (arm.met ? PASS : arm.status === INVALID ? INVALID : FAIL) : arm.status);

// The arm to look at first: one that is not as it should be, or else one that fails as expected.
function armInQuestion() {
  return RUN.arms.find((arm) => outcomeOf(arm) !== PASS && arm.first >= 0) || RUN.arms.find((arm) => outcomeOf(arm) !== PASS) ||
         RUN.arms.find((arm) => arm.first >= 0);
}

function verdictSentence() {
  const expecting = RUN.arms.filter(expects).length, wrong = RUN.arms.filter((arm) => outcomeOf(arm) !== PASS).length;
  if (RUN.status === INVALID) return word("verdict_invalid", RUN.exit_code);
  if (RUN.status === FAIL)
    return word(expecting ? "verdict_fail_expected" /* word */ : "verdict_fail" /* word */, wrong, RUN.arms.length, RUN.exit_code);
  return word(expecting ? "verdict_pass_expected" /* word */ : "verdict_pass" /* word */, RUN.arms.length, RUN.exit_code);
}

function placeText(i) {
  const stage = stageOf(i) || probeOf(i);
  if (isWeight(stage)) return stage;
  return F.layer[i] < 0 ? stage : word("stage_of_layer", stage, F.layer[i]);
}

function firstSentence(arm) {
  if (!arm || arm.first < 0) return word("first_none");
  const i = arm.first, where = isWeight(stageOf(i)) ? word("in_weights") : [promptOf(i), phaseOf(i)].filter(Boolean).join(" ");
  return word(outcomeOf(arm) === PASS ? "first_expected" /* word */ : "first" /* word */, placeText(i), arm.name, where,
              ratioText(F.ratio[i]));
}

// [what it is, the sentence]
function causeSentence(arm) {
  if (!arm || arm.first < 0) return ["", ""];
  const explanation = DATA.explanations[arm.explanation];
  if (!explanation) return [word("cause"), word("cause_none")];
  return [explanation.proved ? word("proved_cause") : word("cause"), say(explanation.conclusion)];
}

function summarySentences() {
  const arm = armInQuestion();
  const rows = [[word("verdict"), verdictSentence()], [word("first_stage"), firstSentence(arm)], causeSentence(arm)];
  return make("dl", {class: "sentences"}, rows.filter((row) => row[1]).map(([title, text], at) => {
    const goes = at === 1 && arm && arm.first >= 0 ? make("button", {type: "button", class: "link", click: () => showFinding(arm.first)}, word("show")) : null;
    return [make("dt", {}, title), make("dd", {}, text, goes ? " " : null, goes)];
  }));
}

function tile(value, title) {
  return make("div", {class: "tile"}, make("strong", {}, value), make("span", {}, title));
}

function tiles() {
  const held = RUN.controls.filter((control) => control.status === PASS).length;
  return make("div", {class: "tiles"}, tile(grouped(countOf(FAIL)), word("findings_fail")), tile(grouped(countOf(INVALID)), word("findings_invalid")),
              tile(grouped(countOf(PASS)), word("findings_pass")),
              tile(`${grouped(RUN.compared)} / ${grouped(RUN.planned)}`, word("tensors_compared")),
              tile(`${grouped(held)} / ${grouped(RUN.controls.length)}`, word("controls_hold")), tile(duration(RUN.seconds[0]), word("took")));
}

function renderSummary() {
  const section = document.getElementById("summary");
  const reasons = RUN.reasons.map(say);
  section.className = STATUS_CLASS[RUN.status];
  section.replaceChildren(
      make("p", {class: "overline"}, word("report_of", RUN.identity.created || "")),
      make("h1", {}, badge(RUN.status), RUN.title), summarySentences(),
      ...(reasons.length ? [make("h2", {}, word("no_verdict_because")), make("ul", {}, reasons.slice(0, 20).map((text) => make("li", {}, text))),
                            reasons.length > 20 ? make("p", {class: "note"}, word("rows_left", grouped(reasons.length - 20))) : null] : []).filter(Boolean),
      tiles(), ...(RUN.rerun ? [make("p", {class: "lead"}, word("rerun_all")), command(RUN.rerun)] : []));
}

function renderArms() {
  const rows = RUN.arms.map((arm) => [
    make("strong", {}, arm.name), badge(arm.status),
    expects(arm) ? make("span", {"data-met": String(arm.met)}, arm.met ? `✓ ${word("came", say(arm.expected))}` : `✗ ${say(arm.why)}`) : "—",
    arm.first >= 0 ? findingLink(arm.first) : "—", arm.causes.length ? arm.causes.map((cause) => make("div", {}, code(cause))) : "—",
    arm.settings ? code(arm.settings) : "—"]);
  bodyOf("arms", RUN.arms.length > 0)
      .append(plainTable(word("arms_title"), [word("arm"), word("verdict"), word("expected"), word("first_finding"), word("causes"), word("settings")]
                                                 .map((title) => ({title})), rows, {quiet: true, style: "arms"}));
}

function renderControls() {
  const rows = [...RUN.controls].sort((a, b) => b.status - a.status)
                   .map((control) => [code(control.name), control.arm, badge(control.status), say(control.line)]);
  bodyOf("controls", rows.length > 0)
      .append(plainTable(word("controls_title"), [word("control"), word("arm"), word("holds"), word("found")].map((title) => ({title})), rows, {quiet: true}));
}

function renderIdentity() {
  const id = RUN.identity;
  const rows = [[word("suite"), id.suite], [word("model"), id.model], [word("digest"), id.digest], [word("device"), id.device],
                [word("backend"), id.backend], [word("reference"), id.reference], ["greta", id.greta], [word("build"), id.build],
                [word("created"), id.created], [word("command"), id.command], [word("exit_code"), String(RUN.exit_code)],
                [word("times"), word("times_text", duration(RUN.seconds[0]), duration(RUN.seconds[1]), duration(RUN.seconds[2]))],
                ...id.prompt_tokens.map(([prompt, tokens]) => [word("prompt_n", prompt), word("tokens_n", grouped(tokens))])];
  bodyOf("identity", true).append(plainTable(word("identity_title"), [word("what"), word("which")].map((title) => ({title})),
                                             rows.filter((row) => row[1]).map(([what, which]) => [what, code(which)]), {quiet: true}));
}
