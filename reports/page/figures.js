// What probes report beside their verdicts: a table a probe, a row a finding or one of its parts.

const figureSorts = new Map();  // probe -> {column, down}
const FIGURES_SHOWN = 200;

// Cells before the figures' own columns; a column that says the same in every row goes into the caption.
const FIGURE_PLACES = [["arm", armOf], ["prompt", promptOf], ["phase", phaseOf],
                       ["layer", (i) => (F.layer[i] < 0 ? "" : F.layer[i])], ["stage", stageOf]];

const figureValue = (cell) => (cell === null ? "" : typeof cell === "number" ? short(cell) : String(cell));
const placeTitle = (name) => ({arm: word("arm"), prompt: word("prompt"), phase: word("phase"), layer: word("layer"), stage: word("stage")})[name];

function figureTable(table, redraw) {
  const probe = NAMES.probes[table.probe];
  const places = FIGURE_PLACES.map(([name, of]) => ({title: placeTitle(name), of: (row) => of(row[0])}));
  if (table.rows.some((row) => row[1])) places.push({title: word("figure_of"), of: (row) => row[1]});
  const same = (place) => table.rows.length > 1 && new Set(table.rows.map((row) => String(place.of(row)))).size === 1;
  const shared = places.filter(same).map((place) => `${place.title} ${place.of(table.rows[0])}`);
  const columns = [...places.filter((place) => !same(place)), {title: word("verdict"), status: true, of: (row) => F.status[row[0]]},
                   ...table.columns.map((title, at) => ({title, numeric: true, of: (row) => row[2 + at]}))];
  const sort = figureSorts.get(probe) || {column: -1, down: false};
  const rows = table.rows.slice();
  if (sort.column >= 0) rows.sort((a, b) => compareCells(columns[sort.column].of(a), columns[sort.column].of(b), sort.down ? -1 : 1));
  const head = columns.map((column, at) => sortHeading(column.title, at, sort, column.numeric, (next) => {
    figureSorts.set(probe, next);
    redraw(at);
  }));
  const body = rows.slice(0, FIGURES_SHOWN).map((row) => make("tr", {}, columns.map((column) =>
      make("td", {class: column.numeric ? "number" : undefined},
           column.status ? badge(column.of(row)) : column.numeric ? figureValue(column.of(row)) : String(column.of(row))))));
  const caption = [probe, ...shared.filter((text) => text.trim())].join(" · ");
  return [scrollBox(caption, make("table", {"data-figures": probe}, make("caption", {}, caption), make("thead", {}, make("tr", {}, head)),
                                  make("tbody", {}, body))),
          rows.length > FIGURES_SHOWN ? make("p", {class: "note"}, word("rows_left", grouped(rows.length - FIGURES_SHOWN))) : null];
}

// Numbers by size, words by letter, what is not there last both ways.
function compareCells(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * d3.ascending(String(a), String(b));
}

function renderFigures() {
  const body = bodyOf("figures", DATA.figures.length > 0);
  DATA.figures.forEach((table, at) => {
    const box = make("div", {id: `figures-${at}`});
    const redraw = (focus) => {
      box.replaceChildren(...figureTable(table, redraw).filter(Boolean));
      if (focus !== undefined) box.querySelector(`[data-sort="${focus}"]`).focus();
    };
    redraw();
    body.append(box);
  });
}
