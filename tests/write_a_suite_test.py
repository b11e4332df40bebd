#!/usr/bin/env python3
"""docs/write-a-suite.md does what it says: every block marked `toml runnable` runs with `greta run` and ends with exit code 0, or with
the one that the mark gives (`exit=2`), and then says what the text block behind it says. A block marked `from=FILE` stands so in that file."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def marks(text):
    """"runnable exit=2" -> {"runnable": "", "exit": "2"}"""
    return dict(word.partition("=")[::2] for word in text.split())


def run(greta, number, suite, folder):
    path = folder / f"block{number}.toml"
    path.write_text(suite, encoding="utf-8")
    out = folder / f"run{number}"
    command = [greta, "run", path, "--out", out, "--cache", folder / "cache"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
    return done.returncode, done.stdout, out / "verdicts.json"


def main():
    greta, page = sys.argv[1], (ROOT / "docs/write-a-suite.md").read_text(encoding="utf-8")
    blocks = [(language, marks(rest), text) for language, rest, text in BLOCK.findall(page)]
    ran = {"0": 0, "2": 0}
    with tempfile.TemporaryDirectory() as temporary:
        for number, (language, mark, text) in enumerate(blocks):
            if "from" in mark and text not in (ROOT / mark["from"]).read_text(encoding="utf-8"):
                sys.exit(f"this block is not in {mark['from']}:\n{text}")
            if language != "toml" or "runnable" not in mark:
                continue
            expected = mark.get("exit", "0")
            code, output, verdicts = run(greta, number, text, pathlib.Path(temporary))
            if str(code) != expected:
                sys.exit(f"exit code {code}, not {expected}:\n{text}\n{output}")
            if expected == "0":
                result = json.loads(verdicts.read_text(encoding="utf-8"))
                must_fail = {arm["name"] for arm in result["arms"] if arm["expect_verdict"] == "fail"}
                failing = {finding["arm"] for finding in result["findings"] if finding["status"] != "pass"}
                if not result["findings"] or failing != must_fail or len(must_fail) != text.count('verdict = "fail"'):
                    sys.exit(f"{len(result['findings'])} findings, arms that fail: {failing}, that must: {must_fail}\n{text}")
            else:
                says = blocks[number + 1][2].strip()
                if blocks[number + 1][0] != "text" or says not in output:
                    sys.exit(f"the page says\n  {says}\ngreta says\n  {output}")
            ran[expected] = ran.get(expected, 0) + 1
    if ran["0"] < 2 or ran["2"] < 1:
        sys.exit(f"only {ran} blocks ran: the test looks for other marks than the page has")
    print(f"{sum(ran.values())} suites of the page ran")


main()
