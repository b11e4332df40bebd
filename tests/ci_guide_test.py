#!/usr/bin/env python3
"""The jobs of README.md and docs/ci.md: their YAML parses, what they run is there, and each gates."""
import pathlib
import re
import shlex
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent


def commands(node):
    """Every line that a job runs."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "run":
                yield from value.splitlines()
            elif key == "script":
                yield from value
            else:
                yield from commands(value)
    elif isinstance(node, list):
        for value in node:
            yield from commands(value)


def problems(greta, text):
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.S)
    if len(blocks) != 3:
        yield f"{len(blocks)} YAML blocks, not 3"
    lines = [line for block in blocks for line in commands(yaml.safe_load(block))]
    if sum(" run " in line for line in lines) != 2 or sum(" accept " in line for line in lines) != 1:
        yield "not two runs and one acceptance"
    suites = subprocess.run([greta, "list", "suites"], check=True, capture_output=True, text=True).stdout
    for line in lines:
        words = shlex.split(line)
        if "||" in words:
            yield f"does not gate: {line}"
        if words[0].startswith("scripts/") and not (ROOT / words[0]).exists():
            yield f"there is no {words[0]}"
        if not words[0].endswith("/greta"):
            continue
        usage = subprocess.run([greta, words[1], "--help"], check=True, capture_output=True, text=True).stdout
        for word in words[2:]:
            if word.startswith("-") and f"{word} " not in usage and f"{word}\n" not in usage:
                yield f"greta {words[1]} has no {word}"
        if words[1] == "run" and f"  {words[2]} " not in suites:
            yield f"there is no suite {words[2]}"
    for report in ("greta-run/junit.xml", "greta-run.tgz"):
        if text.count(report) < 2:
            yield f"{report} is not kept by both jobs"


def main():
    greta = sys.argv[1]
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/ci.md"))
    for problem in problems(greta, text):
        sys.exit(problem)
    for old, new in (("--pack", "--pakc"), ("run ci ", "run cj "), ("scripts/setup", "scripts/steup"),
                     ("--pack\n", "--pack || true\n"), ("junit: greta-run/junit.xml", "junit: other.xml")):  # the tester is tested
        if not list(problems(greta, text.replace(old, new))):
            sys.exit(f"{new!r} goes unseen")
    print("the jobs of README.md and docs/ci.md parse, run what there is, and gate")


main()
