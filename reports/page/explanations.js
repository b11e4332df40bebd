// The causes: what fits, what is excluded and by how much, what could not be tested.

const answerWord = (answer) => ({explained: word("explained"), indistinguishable: word("indistinguishable"), unexplained: word("unexplained")})[answer];
const causesText = (trial) => trial.causes.join(" + ");

function trialTable(caption, trials) {
  return plainTable(caption, [{title: word("cause")}, {title: word("ratio"), numeric: true}, {title: word("place")}, {title: word("note")}],
                    trials.map((trial) => [code(causesText(trial)), ratioText(number(trial.ratio)), trial.place ? code(trial.place) : "—",
                                           say(trial.note) || "—"]), {style: "compact"});
}

function untestedTable(trials) {
  return plainTable(word("not_tested"), [{title: word("cause")}, {title: word("why")}],
                    trials.map((trial) => [code(causesText(trial)), say(trial.note) || "—"]), {style: "compact"});
}

function folded(title, ...content) {
  return make("details", {}, make("summary", {}, title), ...content);
}

function placesList(title, places) {
  const shown = places.slice(0, 100).map((i) => make("li", {}, findingLink(i)));
  const left = places.length - shown.length;
  return folded(`${title}: ${grouped(places.length)}`, make("ul", {class: "keys"}, shown),
                left > 0 ? make("p", {class: "note"}, word("rows_left", grouped(left))) : null);
}

// Goes to a finding of the table.
function findingLink(i) {
  return make("button", {type: "button", class: "link", click: () => showFinding(i)}, keyOf(i));
}

function explanationCard(e) {
  const facts = make("dl", {class: "facts"});
  const fact = (title, text) => text && facts.append(make("dt", {}, title), make("dd", {}, text));
  fact(word("scope"), say(e.scope));
  for (const trial of e.fitting)
    trial.causes.forEach((cause, at) => fact(word("seen"), say(trial.seen[at]) && make("span", {}, code(cause), " ", say(trial.seen[at]))));
  fact(word("note"), say(e.note));
  return make("article", {class: `card ${e.answer}`, "data-explanation": e.answer},
              make("h3", {}, make("span", {class: `answer ${e.answer}`}, answerWord(e.answer)), " ", code(e.stage), " ",
                   make("span", {class: "muted"}, word("in_arm", e.arm))),
              make("p", {}, say(e.conclusion)), facts,
              e.excluded.length ? folded(word("excluded_n", grouped(e.excluded.length)), trialTable(word("excluded"), e.excluded)) : null,
              e.not_applicable.length ? folded(word("not_tested_n", grouped(e.not_applicable.length)), untestedTable(e.not_applicable)) : null,
              e.places.length ? placesList(word("explains_places"), e.places) : null,
              e.consequences.length ? placesList(word("consequences"), e.consequences) : null);
}

function renderExplanations() {
  const body = bodyOf("explanations", DATA.explanations.length > 0);
  body.append(...DATA.explanations.map(explanationCard));
}
