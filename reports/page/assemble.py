#!/usr/bin/env python3
"""Puts report.html together at build time: page.html with the style, the words of both languages, the plotting library and the
scripts, as a C++ source that holds the page. The hashes of its style and scripts go into the page's Content-Security-Policy, so that
a browser runs nothing else, whatever a run's names hold.
  assemble.py D3.MIN.JS ITS-LICENCE OUT.CPP
Exit code 1: a word lacks a language, or a script asks for one that is not there."""
import base64
import hashlib
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
LANGUAGES = ("en", "es")


def check_words(words, sources):
    """What is wrong with the words, a line each."""
    wrong = []
    for key, entry in words.items():
        for language in LANGUAGES:
            if not entry.get(language, "").strip():
                wrong.append(f"word '{key}' has no text in '{language}'")
        if len({tuple(sorted(re.findall(r"\{\d\}", entry.get(language, "")))) for language in LANGUAGES}) != 1:
            wrong.append(f"word '{key}' has other places to fill in in another language")
    used = set()
    for text in sources:
        used |= set(re.findall(r"""\bword\(\s*"(\w+)\"""", text)) | set(re.findall(r'data-word(?:-\w+)?="(\w+)"', text))
        used |= set(re.findall(r'"(\w+)" /\* word \*/', text))
    wrong += [f"word '{key}' is asked for but not in words.json" for key in sorted(used - set(words))]
    wrong += [f"word '{key}' of words.json is asked for nowhere" for key in sorted(set(words) - used)]
    return wrong


def embedded(text):
    return text.replace("</", "<\\/")


def hash_of(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def page(library, licence):
    read = lambda path: path.read_text(encoding="utf-8")
    scripts = sorted(HERE.glob("*.js"), key=lambda path: (path.name == "main.js", path.name))
    words = json.loads(read(HERE / "words.json"))
    html = read(HERE / "page.html")
    wrong = check_words(words, [html, *map(read, scripts)])
    if wrong:
        sys.exit("\n".join(f"reports/page: {line}" for line in wrong))
    style = read(HERE / "page.css")
    script = '(() => {\n"use strict";\n' + "".join(map(read, scripts)) + "})();\n"
    policy = f"default-src 'none'; style-src {hash_of(style)}; script-src {hash_of(embedded(library))} {hash_of(embedded(script))}; base-uri 'none'; form-action 'none'"
    parts = {"POLICY": policy, "STYLE": style, "WORDS": embedded(json.dumps(words, ensure_ascii=False, separators=(",", ":"))),
             "LICENCE": licence.strip().replace("-->", ""),
             "LIBRARY": embedded(library), "SCRIPT": embedded(script)}
    return re.sub("@(" + "|".join(parts) + ")@", lambda m: parts[m[1]], html)


def main():
    library, licence, out = map(pathlib.Path, sys.argv[1:])
    text = page(library.read_text(encoding="utf-8"), licence.read_text(encoding="utf-8"))
    for mark in ("@TITLE@", "@DATA@"):
        if text.count(mark) != 1:
            sys.exit(f"reports/page: {mark} must stand once in the page")
    out.write_text('// Made by reports/page/assemble.py.\n#include <string_view>\n\nnamespace greta::reports {\n'
                   'extern const std::string_view kPage;\n'
                   f'const std::string_view kPage = R"greta-page({text})greta-page";\n'
                   '}  // namespace greta::reports\n', encoding="utf-8")


if __name__ == "__main__":
    main()
