#!/usr/bin/env python3
"""report.html in a real browser: greta runs tests/page.toml, headless Chromium opens the page from file:// without a network, and what
it shows is held against verdicts.json. Then each check is seen to fail on a page that was broken for it.
  page_test.py GRETA [--keep DIR]"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "reports/page")]
import assemble
from browser import Browser
from page_facts import Facts, same
from selenium.webdriver.common.keys import Keys

WORDS = json.loads((ROOT / "reports/page/words.json").read_text(encoding="utf-8"))
CHECKS_JS = (ROOT / "tests/page_checks.js").read_text(encoding="utf-8")


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def ask(browser, call):
    browser.js(CHECKS_JS)
    return browser.js(f"return checks.{call}")


def quiet(browser, facts):
    log = browser.log()
    expect(not log, f"the console says {log}")
    loaded = browser.js("return performance.getEntriesByType('resource').map((e) => e.name)")
    expect(not loaded, f"the page asks for {loaded}")


def summary(browser, facts):
    text = " ".join(browser.texts("#summary"))
    arm = next(a for a in facts.run["arms"] if a["name"] == "layer0_cache")
    first = next(f for f in facts.findings if f["key"] == arm["first_failing"])
    for part in ("FAIL", "exit code 1", f"{first['stage']} of layer {first['layer']}, in arm layer0_cache", "Proved cause", "layer_base=0 explains"):
        expect(part in text, f"the summary does not say '{part}': {text}")
    tiles = [re.sub(r"\D", "", text) for text in browser.texts(".tile strong")]
    for at, status in enumerate(("fail", "invalid", "pass")):
        count = sum(f["worth"] == status for f in facts.findings)
        expect(tiles[at] == str(count), f"{tiles[at]} findings {status}, {count} in verdicts.json")


def cells_of(browser, name):
    return browser.js("return [...document.querySelectorAll(`[data-map=${arguments[0]}] g.cell`)].map((g) => ({...g.dataset, text: g.textContent}))", name)


def hold_cells(browser, name, true, row_of):
    shown = {(row_of(cell["row"]), int(cell["column"])): cell for cell in cells_of(browser, name)}
    expect(len(true) > 8 and set(true) <= set(shown), f"cells are missing from map {name}: {sorted(set(true) - set(shown))[:5]}")
    for at, cell in shown.items():
        count, worst = true.get(at, (0, None))
        expect(int(cell["count"]) == count, f"cell {at} of map {name} has {cell['count']} findings, {count} in verdicts.json")
        if not count:
            expect(cell["text"] == "·", f"cell {at} has nothing planned and says '{cell['text']}'")
            continue
        expect(cell["status"] == worst[0] and same(cell["ratio"], worst[1]), f"cell {at} of map {name} is {cell}, {worst} in verdicts.json")
        mark = {"pass": "", "fail": "✗", "invalid": "?"}[worst[0]]
        expect(cell["text"].startswith(mark) and (worst[0] == "pass") == cell["text"][0].isdigit() or cell["text"][0] == "<", f"cell {at} says '{cell['text']}'")


def stage_map(browser, facts):
    local = "stage_parity (local)"
    expect(browser.js("return document.getElementById('stages-probe').value") == local, "the map does not begin with local stage parity")
    hold_cells(browser, "stages", facts.stage_cells(probe_name=local), str)
    browser.select("stages-probe", "")
    hold_cells(browser, "stages", facts.stage_cells(), str)
    for name, value in (("arm", "layer0_cache"), ("phase", "decode0"), ("prompt", "p4_sys")):
        browser.select(f"stages-{name}", value)
    hold_cells(browser, "stages", facts.stage_cells(arm="layer0_cache", phase="decode0", prompt="p4_sys"), str)


def head_map(browser, facts):
    expect(browser.js("return document.getElementById('heads-stage').value") == "q", "the map of heads does not begin with the stage that fails first")
    row_of = lambda name: int(name.split()[-1])
    hold_cells(browser, "heads", facts.head_cells("q"), row_of)
    browser.select("heads-stage", "softmax")
    browser.select("heads-arm", "clean")
    hold_cells(browser, "heads", facts.head_cells("softmax", arm="clean"), row_of)


def histograms(browser, facts):
    for wanted in ({}, {"stage": "q", "arm": "q_by_column"}):
        for name, value in wanted.items():
            browser.select(f"histogram-{name}", value)
        for which in ("expected", "certain"):
            shown = browser.js("return [...document.querySelectorAll(`[data-plot=${arguments[0]}] rect.bar`)].map((r) => [Number(r.dataset.count), r.height.baseVal.value])", which)
            true = facts.bins(f"by_{which}", **wanted)
            expect([count for count, _ in shown] == true and sum(true) > 0, f"histogram {which} of {wanted} is {shown}, {true} in verdicts.json")
            expect(all((height > 0) == (count > 0) for count, height in shown), f"histogram {which}: bars do not stand for their counts")


def drift(browser, facts):
    for arm in ("clean", "layer0_cache"):
        for plot, true in zip(("layers", "positions"), facts.drift(arm)):
            shown = browser.js("return [...document.querySelectorAll(`[data-plot=${arguments[0]}] .mark`)].filter((m) => m.dataset.arm === arguments[1]).map((m) => [m.dataset.at, m.dataset.ratio])", plot, arm)
            shown = {at.split("–")[0]: ratio for at, ratio in shown}
            true = {str(at): ratio for at, ratio in true.items()}
            expect(set(shown) == set(true) and len(true) > 2 and all(same(shown[at], true[at]) for at in true), f"drift by {plot} of {arm} is {shown}, {true} in verdicts.json")


def total(browser):
    return int(browser.js("return document.getElementById('shown').dataset.total"))


def filters(browser, facts):
    bad = [f for f in facts.findings if f["worth"] != "pass"]
    expect(total(browser) == len(bad) > 0, f"the table begins with {total(browser)} findings, {len(bad)} do not pass")
    for text, wanted in (("", {}), ("p4_sys decode0", {}), ("softmax", {"arm": "clean"}), ("", {"arm": "clean", "stage": "q"}), ("nothing has this key", {})):
        browser.select("filter-status", "")
        for name in ("arm", "stage"):
            browser.select(f"filter-{name}", wanted.get(name, ""))
        browser.type("#filter-text", text)
        true = [f for f in facts.chosen(**wanted) if all(word in f["key"].lower() for word in text.split())]
        expect(total(browser) == len(true), f"filter '{text}' {wanted}: {total(browser)} findings, {len(true)} in verdicts.json")
        keys = browser.js("return [...document.querySelectorAll('tr[data-key]')].map((row) => row.dataset.key)")
        expect(set(keys) <= {f["key"] for f in true} and len(keys) == min(50, len(true)), f"filter '{text}' {wanted} shows other rows")
    browser.type("#filter-text", "")


def sorting(browser, facts):
    browser.select("filter-status", "")
    for column, of in (("ratio", lambda f: f["ratio"]), ("mae", lambda f: float(f["metrics"]["mae"]))):
        for down in (True, False):
            browser.click(f'[data-sort="{column}"]')
            state = browser.js("return document.querySelector(`[data-sort=${arguments[0]}]`).closest('th').ariaSort", column)
            expect(state == ("descending" if down else "ascending"), f"aria-sort of {column} is {state}")
            by_key = {f["key"]: of(f) for f in facts.findings}
            shown = [by_key[key] for key in browser.js("return [...document.querySelectorAll('tr[data-key]')].map((row) => row.dataset.key)")]
            true = sorted(by_key.values(), reverse=down)[:len(shown)]
            expect(all(same(a, b) for a, b in zip(shown, true)) and len(shown) == 50, f"sorted by {column}: {shown[:5]}…, {true[:5]}… in verdicts.json")


def details(browser, facts):
    bad = next(f for f in facts.findings if f["worth"] == "fail")
    browser.type("#filter-text", bad["key"])
    browser.click("tr[data-key] .toggle")
    text = " ".join(browser.texts("tr.detail"))
    m = bad["metrics"]
    for part in (bad["message"], bad["kernel"], bad["contract"], bad["reason"], str(float(m["worst_actual"])), str(float(m["worst_expected"])),
                 f"{facts.run['rerun']} --only '{bad['key']}'"):
        expect(part and part in text, f"the details of {bad['key']} do not say '{part}': {text}")
    browser.click("tr[data-key] .toggle")
    expect(not browser.texts("tr.detail"), "details do not fold again")


def explanations(browser, facts):
    shown = browser.js("return [...document.querySelectorAll('[data-explanation]')].map((e) => "
                       "[e.dataset.explanation, e.textContent, [...e.querySelectorAll('table tbody th')].map((th) => th.textContent)])")
    expect(len(shown) == len(facts.run["explanations"]) > 1, f"{len(shown)} explanations")
    for (answer, text, causes), e in zip(shown, facts.run["explanations"]):
        expect(answer == e["answer"] and e["conclusion"] in text and e["scope"] in text, f"{text} is not {e}")
        true = [" + ".join(trial["causes"]) for trial in e["excluded"] + e["not_applicable"]]
        expect(causes == true and len(true) > 3, f"excluded and not tested: {causes}, {true} in verdicts.json")


def language(browser, facts):
    browser.select("filter-status", "")
    browser.click("tr[data-key] .toggle")
    english = set(ask(browser, "words()"))
    browser.click("[data-language=es]")
    expect(browser.js("return document.documentElement.lang") == "es", "the document's language does not follow")
    shown = set(ask(browser, "words()"))
    pattern = lambda text: re.compile(re.sub(r"\\\{\d\\\}", ".+", re.escape(text)), re.S)
    spanish = [pattern(word["es"]) for word in WORDS.values()]
    for key, word in WORDS.items():
        if word["en"] == word["es"]:
            continue
        left = [text for text in shown if pattern(word["en"]).fullmatch(text) and not any(p.fullmatch(text) for p in spanish)]
        expect(not left, f"word '{key}' is English in Spanish: {left[:3]}")
    expect("Findings" in english and "Comprobaciones" in shown, "the headings are not in their language")
    browser.click("[data-language=en]")
    expect(english == set(ask(browser, "words()")), "the way back to English leaves other words")


def looks(browser, facts):
    for system in (False, True):
        browser.look(dark=system)
        expect((ask(browser, "ground()") < 0.1) == system, f"dark is not as the system has it ({system})")
        browser.click("#theme")
        expect((ask(browser, "ground()") < 0.1) != system, "the switch of light and dark does nothing")
        browser.click("#theme")
    for dark in (False, True):
        browser.look(dark=dark)
        wrong = ask(browser, "contrast()")
        expect(not wrong, f"{'dark' if dark else 'light'}: too little contrast: {wrong[:5]}")


def accessible(browser, facts):
    wrong = ask(browser, "names()")
    expect(not wrong, f"{wrong[:5]}")
    expect(len(browser.js("return document.querySelectorAll('svg[role=img]')")) >= 6, "plots are missing")


def keyboard(browser, facts):
    box = browser.driver.find_element("css selector", "[data-map=stages] .scroll")
    before = browser.texts("#stages .readout")
    box.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    expect(browser.texts("#stages .readout") != before, "arrow keys do not move over the map")
    box.send_keys(Keys.ENTER)
    chosen = browser.js("return ['stage', 'layer', 'probe'].map((name) => document.getElementById(`filter-${name}`).value)")
    true = facts.chosen(stage="attn_norm", layer=0, probe_name="stage_parity (local)")
    expect(chosen == ["attn_norm", "0", "stage_parity (local)"] and total(browser) == len(true) > 0, f"Enter lists {chosen}, {total(browser)} findings")


def narrow(browser, facts):
    for width in (375, 320):
        browser.look(width=width)
        for code in ("en", "es"):
            browser.click(f"[data-language={code}]")
            wide = browser.js("return document.documentElement.scrollWidth")
            expect(wide <= width, f"at {width} px the page ({code}) is {wide} px wide")


def printed(browser, facts):
    browser.js("window.dispatchEvent(new Event('beforeprint'))")
    browser.look(media="print")
    expect(browser.js("return [...document.querySelectorAll('details')].every((d) => d.open)"), "something stays folded on paper")
    expect(browser.texts("tr.detail"), "no finding is printed in full")
    controls = browser.js("return [...document.querySelectorAll('.top, .fields, .copy, .pager button')].filter((e) => e.getClientRects().length).length")
    expect(controls == 0, f"{controls} controls are printed")
    expect(not ask(browser, "contrast()"), "print has too little contrast")
    unseen = browser.js("return [...document.querySelectorAll('svg.plot, g.cell rect, .mark, rect.bar[height]:not([height=\"0\"])')].filter((e) => !e.getClientRects().length).length")
    expect(unseen == 0, f"{unseen} parts of plots are not printed")
    browser.look(width=718, media="print")  # A4
    wide = browser.js("return document.documentElement.scrollWidth")
    expect(wide <= 718, f"the page is {wide} px wide on A4")
    browser.look()
    browser.js("window.dispatchEvent(new Event('afterprint'))")
    expect(browser.js("return [...document.querySelectorAll('details')].every((d) => !d.open)"), "what printing unfolded stays so")


def figures(browser, facts):
    expect(browser.js("return document.querySelector('#figures').hidden") is False, "the figures are hidden")
    caption = browser.texts("[data-figures] caption")
    expect(caption and "Arm clean" in caption[0], f"what all rows share is not in the caption: {caption}")
    rows = lambda: browser.js("return [...document.querySelectorAll('[data-figures] tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))")
    expect([row[-2:] for row in rows()] == [["0.61", "neither"], ["0.24", "col"], ["", "row"]], f"{rows()}")
    browser.click("[data-figures] th:nth-last-child(2) button")
    expect([row[-2] for row in rows()] == ["0.61", "0.24", ""], f"sorted down: {rows()}")
    browser.click("[data-figures] th:nth-last-child(2) button")
    expect([row[-2] for row in rows()] == ["0.24", "0.61", ""], f"sorted up: {rows()}")


# A check, and a page that it must refuse: what is replaced in the page, and by what.
CHECKS = [
    (quiet, "</main>", '</main><img src="missing.png" alt="">'),
    (summary, "RUN.arms.find((arm) => outcomeOf(arm) !== PASS && arm.first >= 0)", "RUN.arms.find((arm) => arm.first >= 0)"),
    (stage_map, "return a > b;", "return a < b;"),
    (head_map, "ratio <= 1 ? PASS : FAIL", "ratio <= 1e9 ? PASS : FAIL"),
    (histograms, "sum[bin] += count", "sum[bin] = count"),
    (drift, "...line.layers.map((point) => [rangeText(point), number(point[2])])", "...line.layers.map((point) => [rangeText(point), 1])"),
    (filters, "words.every(", "words.some("),
    (sorting, "down: mine ? !sort.down : numeric", "down: false"),
    (details, "DETAILS.get(i) || {}", "{}"),
    (explanations, "trialTable(word(\"excluded\"), e.excluded)", "trialTable(word(\"excluded\"), e.excluded.slice(1))"),
    (language, 'word("took")', '"wall time"'),
    (looks, "--muted: #545d69", "--muted: #a0a8b0"),
    (accessible, '.attr("role", "img").attr("aria-label", map.label)', ""),
    (keyboard, "point(at.row, at.column);", ""),
    (narrow, ".scroll { overflow-x: auto; max-width: 100%; }", ""),
    (printed, "details.open = true;", ""),
    (figures, "(a === null) - (b === null)", "(b === null) - (a === null)"),
]


def with_figures(html):
    """The data with figures of three findings, until a suite on the tiny model has a probe that brings some."""
    begin = html.index('id="data">') + len('id="data">')
    end = html.index("</script>", begin)
    data = json.loads(html[begin:end])
    at = [i for i, arm in enumerate(data["findings"]["arm"]) if data["names"]["arms"][arm] == "clean"][:3]
    data["figures"] = [{"probe": 0, "columns": ["mae_row", "layout"], "rows": [
        [at[0], "head 0", 0.61, "neither"], [at[1], "head 1", 0.24, "col"], [at[2], "", None, "row"]]}]
    return html[:begin] + json.dumps(data) + html[end:]


def attempt(browser, check, facts, path):
    browser.look()
    browser.open(path)
    check(browser, facts)


def check_words():
    """A word without Spanish does not get into a build."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "reports/page").iterdir() if path.suffix in (".js", ".html")]
    expect(not assemble.check_words(WORDS, sources), f"{assemble.check_words(WORDS, sources)}")
    for broken in ({**WORDS, "verdict": {"en": "Verdict"}}, {k: v for k, v in WORDS.items() if k != "verdict"}, {**WORDS, "spare": {"en": "a", "es": "b"}},
                   {**WORDS, "layer_n": {"en": "layer {0}", "es": "capa"}}):
        expect(assemble.check_words(broken, sources), "a word that is wrong goes unnoticed")


def main():
    greta = sys.argv[1]
    check_words()
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(sys.argv[3] if sys.argv[2:3] == ["--keep"] else folder) / "run"
        done = subprocess.run([greta, "run", ROOT / "tests/page.toml", "--out", out, "--force", "--no-trace"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        expect(done.returncode == 1, f"greta run ends with {done.returncode}:\n{done.stdout}")
        html, facts = (out / "report.html").read_text(encoding="utf-8"), Facts(out / "verdicts.json")
        special, broken = out / "figures.html", out / "broken.html"
        special.write_text(with_figures(html), encoding="utf-8")
        browser = Browser()
        try:
            for check, old, new in CHECKS:
                path = special if check is figures else out / "report.html"
                attempt(browser, check, facts, path)
                text = path.read_text(encoding="utf-8")
                expect(old in text, f"what breaks the page for '{check.__name__}' is not in it: {old}")
                policy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)  # or else nothing that was changed would run
                broken.write_text(policy.replace(old, new), encoding="utf-8")
                try:
                    attempt(browser, check, facts, broken)
                except AssertionError as noticed:
                    print(f"{check.__name__:<13} ok; broken: {str(noticed)[:150]}", flush=True)
                else:
                    raise AssertionError(f"check '{check.__name__}' lets a broken page pass")
            changed = html.replace("const PASS = 0", "const PASS = 0 ")
            broken.write_text(changed, encoding="utf-8")
            browser.open(broken)
            expect(any("Content Security Policy" in line for line in browser.log()), "a script that is not the build's runs")
            print("policy        ok")
        finally:
            browser.close()


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(f"page_test: {error}")
