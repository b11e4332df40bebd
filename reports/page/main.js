// Puts the page together, and again in another language.

function renderNav() {
  const sections = [...document.querySelectorAll("main > section")].filter((section) => !section.hidden && section.id !== "summary");
  document.getElementById("nav").replaceChildren(...sections.map((section) =>
      make("a", {href: `#${section.id}`}, section.querySelector("h2").textContent)));
}

function render() {
  placeWords();
  placeTheme();
  for (const part of [renderSummary, renderArms, renderExplanations, renderMaps, renderDrift, renderHistograms, renderFigures, renderFindings,
                      renderControls, renderIdentity])
    part();
  renderNav();
}

view.probe = firstProbe();
view.head_stage = firstHeadStage() || "";
if (countOf(PASS) < FINDINGS.length) table.status = "bad";

for (const button of document.querySelectorAll("[data-language]"))
  button.addEventListener("click", () => {
    language = button.dataset.language;
    render();
  });
document.getElementById("theme").addEventListener("click", switchTheme);
systemDark.addListener(placeTheme);

// Plots are drawn for the page's width.
let drawnWidth = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === drawnWidth || window.matchMedia("print").matches) return;
  drawnWidth = window.innerWidth;
  for (const part of [renderMaps, renderDrift, renderHistograms]) part();
});
render();
