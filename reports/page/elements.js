// Small pieces that the sections are made of.

// make("p", {class: "note"}, "text", element, …); a property that is a function listens.
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

const code = (text) => make("code", {}, text);

function badge(status) {
  return make("span", {class: `badge ${STATUS_CLASS[status]}`, "data-status": STATUS_CLASS[status]},
              `${SIGN[status]} ${statusWord(status)}`);
}

// A name and its choices; `chosen` is called with the new one. Empty text of a choice stands for all.
function selector(id, title, choices, value, chosen) {
  const options = choices.map(([key, text]) => make("option", {value: key, selected: key === value}, text));
  return make("label", {class: "field"}, make("span", {}, title),
              make("select", {id, change: (event) => chosen(event.target.value)}, options));
}

function copyButton(text) {
  const button = make("button", {type: "button", class: "copy", "aria-label": word("copy_command")}, word("copy"));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch (_) {  // a browser that keeps its clipboard to itself: the old way
      const area = make("textarea", {class: "offscreen"});
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = word("copied");
    setTimeout(() => { button.textContent = word("copy"); }, 1500);
  });
  return button;
}

const command = (text) => make("div", {class: "command"}, make("pre", {tabindex: "0"}, code(text)), copyButton(text));

// A box of its own for what is wider than the page; reached by keyboard, so that it can be scrolled by it.
const scrollBox = (label, ...children) =>
    make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": label}, ...children);

// rows: arrays of cells, a text or an element each. columns: {title, numeric}. quiet: a heading says the same already.
function plainTable(caption, columns, rows, {quiet, style} = {}) {
  const head = columns.map((c) => make("th", {scope: "col", class: c.numeric ? "number" : undefined}, c.title));
  const body = rows.map((cells) => make("tr", {}, cells.map((cell, at) =>
      make(at ? "td" : "th", {scope: at ? undefined : "row", class: columns[at].numeric ? "number" : undefined}, cell))));
  return scrollBox(caption, make("table", {class: style}, make("caption", {class: quiet ? "offscreen" : undefined}, caption), make("thead", {}, make("tr", {}, head)),
                                 make("tbody", {}, body)));
}

// A heading that sorts: `sort` is {column, down}; `chosen` is called with the new one.
function sortHeading(title, column, sort, numeric, chosen) {
  const mine = sort.column === column;
  const state = !mine ? "none" : sort.down ? "descending" : "ascending";
  const button = make("button", {type: "button", "data-sort": column, click: () =>
      chosen({column, down: mine ? !sort.down : numeric})}, title, make("span", {class: "arrow", "aria-hidden": "true"},
                                                                       !mine ? "" : sort.down ? " ▾" : " ▴"));
  return make("th", {scope: "col", "aria-sort": state, class: numeric ? "number" : undefined}, button);
}

// Shows a section, or hides it where the run has nothing for it. Returns its emptied body.
function bodyOf(id, shown) {
  const section = document.getElementById(id);
  section.hidden = !shown;
  const body = section.querySelector(".body");
  body.replaceChildren();
  return body;
}
