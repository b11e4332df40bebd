#!/usr/bin/env python3
"""Every sentence that a report can show is in every catalogue of reports/languages/, with the same fields.

xgettext collects the patterns of say(), tr() and tr_noop() from the sources; msgcmp refuses a catalogue that lacks
one of them, or has it fuzzy or empty; nothing may be left over; and a translation has the fields of its pattern.
The test is tested on catalogues with one fault each.
"""
import gettext
import io
import pathlib
import re
import string
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CATALOGUES = sorted((ROOT / "reports/languages").glob("*.po"))
FOLDERS = ["datasets", "reference", "engine", "probes", "suites", "reports", "cli"]
# Where patterns are not literals, by design: the functions themselves.
NOT_LITERAL = [re.compile(r"\b(say|tr_noop)\((?!\s*(?:\"|const char\* |pattern\b))\s*(\S.{0,40})", re.S),
               re.compile(r"\b(tr)\(\s*[\w.]+\s*,(?!\s*\")\s*(\S.{0,40})", re.S)]


def sources():
    files = []
    for folder in FOLDERS:
        files += [f for f in (ROOT / folder).rglob("*.?pp") if "_test." not in f.name]
    return sorted(files)


def without_comments(text):
    return re.sub(r"//[^\n]*", "", text)


def not_literal(text):
    """Calls whose pattern xgettext cannot see."""
    return [f"{m.group(1)}({m.group(2)}" for form in NOT_LITERAL for m in form.finditer(without_comments(text))]


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip()


def template(folder):
    path = folder / "messages.pot"
    code, said = run("xgettext", "--language=C++", "--from-code=UTF-8", "--keyword", "--keyword=say", "--keyword=tr:2",
                     "--keyword=tr_noop", "--no-location", "-o", str(path), *map(str, sources()))
    if code or said:
        sys.exit(f"xgettext: {said}")
    return path


def messages(catalogue, folder, english=False):
    """Pattern -> text, of a catalogue or (every text its own pattern) of the template."""
    binary, source = folder / "messages.mo", catalogue
    if english:
        source = folder / "english.po"
        code, said = run("msgen", "-o", str(source), str(catalogue))
        if code:
            sys.exit(f"msgen: {said}")
    code, said = run("msgfmt", "-o", str(binary), str(source))
    if code:
        return None
    # pylint: disable=protected-access
    found = dict(gettext.GNUTranslations(io.BytesIO(binary.read_bytes()))._catalog)
    found.pop("", None)
    return found


def fields(pattern):
    """Which argument goes into each field, and how: [(0, ".3g"), …] in any order."""
    out, next_one = [], 0
    for _, name, form, conversion in string.Formatter().parse(pattern):
        if name is None:
            continue
        if name == "":
            name, next_one = str(next_one), next_one + 1
        out.append((int(name), form or "", conversion))
    return sorted(out, key=str)


def violations(catalogue, pot, folder):
    found = []
    code, said = run("msgcmp", str(catalogue), str(pot))
    if code:
        found.append(f"{catalogue.name}: {said}")
    if re.search(r"^#~", catalogue.read_text(encoding="utf-8"), re.M):
        found.append(f"{catalogue.name}: obsolete messages; remove them")
    wanted, there = messages(pot, folder, english=True), messages(catalogue, folder)
    if there is None:
        return found + [f"{catalogue.name}: msgfmt refuses it"]
    for pattern in sorted(there.keys() - wanted.keys()):
        found.append(f"{catalogue.name}: nothing says '{pattern}' any more")
    for pattern in sorted(there.keys() & wanted.keys()):
        try:
            same = fields(pattern) == fields(there[pattern])
        except ValueError as error:
            same = False
            found.append(f"{catalogue.name}: '{there[pattern]}': {error}")
        if not same:
            found.append(f"{catalogue.name}: the fields of '{there[pattern]}' are not those of '{pattern}'")
    return found


def planted(text):
    """The catalogue with one fault each: what each of them is, and the text."""
    entry = re.search(r'msgid "there is one KV head"\nmsgstr "[^"]+"\n\n?', text)
    counted = re.search(r'msgid "all \{\} phases"\nmsgstr "([^"]+)"', text)
    if not entry or not counted:
        sys.exit("the entries that faults are planted in are gone: choose others")
    head = "msgid \"there is one KV head\"\n"
    return {
        "an entry removed": text.replace(entry.group(0), ""),
        "an entry without a text": re.sub(re.escape(head) + r'msgstr "[^"]+"', head + 'msgstr ""', text),
        "a fuzzy entry": text.replace(entry.group(0), "#, fuzzy\n" + entry.group(0)),
        "an obsolete entry": text + '\n#~ msgid "gone"\n#~ msgstr "ido"\n',
        "an entry that nothing says": text + '\nmsgid "gone"\nmsgstr "ido"\n',
        "a field lost": text.replace(counted.group(0), counted.group(0).replace(counted.group(1), "las fases")),
        "a field of another form": text.replace(counted.group(0),
                                                counted.group(0).replace(counted.group(1), "las {:d} fases")),
        "a field too many": text.replace(counted.group(0),
                                         counted.group(0).replace(counted.group(1), "las {} de {} fases")),
        "a brace left open": text.replace(counted.group(0), counted.group(0).replace(counted.group(1), "las {} { f")),
    }


def check_the_test(folder, pot):
    for text, wanted in [('say("a {}", b)', 0), ('say(\n    "a")', 0), ("say(text)", 1), ('say(x ? "a" : "b")', 1),
                         ("// say(text)", 0), ("tr_noop(name)", 1), ('tr(language, "a")', 0), ("tr(options.language, name)", 1)]:
        if len(not_literal(text)) != wanted:
            sys.exit(f"not_literal('{text}') finds {not_literal(text)}")
    if fields("{1} {0:.3g}") != fields("{1} {0:.3g}") or fields("{} {:.3g}") != fields("{1:.3g} {0}"):
        sys.exit("fields() does not know an exchanged order")
    text = CATALOGUES[0].read_text(encoding="utf-8")
    faulty = folder / "faulty.po"
    faulty.write_text(text, encoding="utf-8")
    if violations(faulty, pot, folder):
        return  # reported by main(); a fault on top of that proves nothing
    for what, changed in planted(text).items():
        if changed == text:
            sys.exit(f"'{what}' was not planted")
        faulty.write_text(changed, encoding="utf-8")
        if not violations(faulty, pot, folder):
            sys.exit(f"the test does not see {what}")


def main():
    if len(sources()) < 100 or not CATALOGUES:
        sys.exit("too few files found: the test looks in the wrong place")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        pot = template(folder)
        check_the_test(folder, pot)
        found = [f"{path.relative_to(ROOT)}: the pattern is no literal: {call}" for path in sources()
                 for call in not_literal(path.read_text(encoding="utf-8"))]
        for catalogue in CATALOGUES:
            found += violations(catalogue, pot, folder)
        if found:
            sys.exit("\n".join(found))
        print(f"{len(messages(pot, folder, english=True))} messages in {len(CATALOGUES)} catalogue(s)")


if __name__ == "__main__":
    main()
