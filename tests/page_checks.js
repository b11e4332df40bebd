// What tests/page_test.py asks of a page in the browser: functions of window.checks, each returns what is wrong, a line each.
window.checks = (() => {
  const visible = (element) => element.checkVisibility && element.checkVisibility() && element.getClientRects().length > 0 &&
      !element.closest(".offscreen, .skip, :disabled, option");

  function* textNodes(all) {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode, element = node.parentElement;
      if (node.textContent.trim() && !element.closest("script, noscript, style") && (all || visible(element))) yield node;
    }
  }

  // Everything that a reader sees or hears, but for code, formulas and what the run itself says.
  function words() {
    const out = [], said = new Set(JSON.parse(document.getElementById("data").textContent).texts.flat());
    for (const node of textNodes(true))
      if (!node.parentElement.closest("code, pre, .brand, [data-language], [translate=no]") && !said.has(node.textContent)) out.push(node.textContent.trim());
    for (const element of document.querySelectorAll("[aria-label], [placeholder], [title]"))
      for (const name of ["aria-label", "placeholder", "title"])
        if (element.getAttribute(name)) out.push(element.getAttribute(name));
    return out;
  }

  const parse = (text) => { const n = text.match(/[\d.]+/g).map(Number); return {rgb: n.slice(0, 3), alpha: n.length > 3 ? n[3] : 1}; };
  function luminance(rgb) {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function behind(element) {
    const rect = element.closest("g.cell") && element.closest("g.cell").querySelector("rect");
    if (rect && getComputedStyle(rect).fill !== "none") return parse(getComputedStyle(rect).fill).rgb;
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.alpha > 0) return colour.rgb;
    }
    return [255, 255, 255];
  }

  function contrast() {
    const wrong = new Set();
    for (const node of textNodes(false)) {
      const element = node.parentElement, style = getComputedStyle(element);
      if (element.closest("title")) continue;
      const ink = parse(element.closest("svg") ? style.fill : style.color).rgb, ground = behind(element);
      const [high, low] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
      const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
      const ratio = (high + 0.05) / (low + 0.05);
      if (!(ratio >= (large ? 3 : 4.5))) wrong.add(`${ratio.toFixed(2)}: '${node.textContent.trim().slice(0, 30)}' (${ink} on ${ground})`);
    }
    return [...wrong];
  }

  function names() {
    const wrong = [];
    for (const svg of document.querySelectorAll("svg:not([aria-hidden='true'])"))
      if (svg.getAttribute("role") !== "img" || !/\d/.test(svg.getAttribute("aria-label") || "")) wrong.push(`plot without a name that has its worst value: ${svg.outerHTML.slice(0, 80)}`);
    for (const table of document.querySelectorAll("table")) {
      if (!table.caption || !table.caption.textContent.trim()) wrong.push(`table without a caption: ${table.textContent.slice(0, 60)}`);
      if ([...table.querySelectorAll("th")].some((th) => !th.scope)) wrong.push(`heading without a scope: ${table.caption.textContent}`);
    }
    for (const control of document.querySelectorAll("button, select, input, a"))
      if (!(control.getAttribute("aria-label") || control.textContent.trim() || (control.labels && control.labels.length))) wrong.push(`no name: ${control.outerHTML}`);
    for (const box of document.querySelectorAll(".scroll"))
      if (box.tabIndex !== 0 || !box.getAttribute("aria-label")) wrong.push("a box that scrolls and is not reached by keyboard");
    return wrong;
  }

  const ground = () => luminance(behind(document.body));
  return {words, contrast, names, ground, visible};
})();
