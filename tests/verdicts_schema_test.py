#!/usr/bin/env python3
"""Holds verdicts.json of real runs against docs/verdicts.schema.json, and sees that every field renamed, left out, added or of another
type is refused."""
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

import jsonschema

import example_runs

SCHEMA = pathlib.Path(__file__).resolve().parent.parent / "docs" / "verdicts.schema.json"
# What only some files have, one way or the other.
OPTIONAL = {"explanations", "interrupted_says", "says", "reason_says", "scope_says", "observed_says", "note_says", "tells_says",
            "conclusion_says", "head_ratio", "figures"}


def objects(node, path=()):
    """Every object of a document with where it stands, one of each kind of place."""
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from objects(value, path + (key,))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from objects(value, path + (index,))


def at(document, path):
    for step in path:
        document = document[step]
    return document


def one_of_each(document):
    """The objects that differ in shape; a hundred findings of the same fields prove no more than one."""
    seen = set()
    for path, node in objects(document):
        shape = tuple(step for step in path if not isinstance(step, int)), tuple(sorted(node))
        if shape not in seen:
            seen.add(shape)
            yield path, node


def main():
    greta = sys.argv[1]
    text = SCHEMA.read_text(encoding="utf-8")
    printed = subprocess.run([greta, "list", "schema"], check=True, capture_output=True, text=True).stdout
    if printed != text:
        sys.exit("greta list schema prints something else than docs/verdicts.schema.json")
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        runs = example_runs.make(greta, folder)
        for name, run in runs.items():
            document = json.loads((run / "verdicts.json").read_text(encoding="utf-8"))
            for error in validator.iter_errors(document):
                sys.exit(f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message[:400]}")
            if name == "explained" and "explanations" not in document:
                sys.exit("the run with a fault explains nothing")
            if name == "unmet":
                continue
            document["findings"] = document["findings"][::37] + [f for f in document["findings"] if "row_ratio" in f][:1]
            document["findings"][0]["figures"] = [{"name": "mae_row", "value": "NaN", "text": "", "of": "head 0"}]
            if not validator.is_valid(document):
                sys.exit("figures are refused")
            for path, node in list(one_of_each(document)):
                if "prompt_tokens" in path or path[-1:] == ("prompt_tokens",):
                    continue  # its keys are the prompts'
                for key in node:
                    renamed, left_out, other = (copy.deepcopy(document) for _ in range(3))
                    at(renamed, path)[key + "_"] = at(renamed, path).pop(key)
                    at(left_out, path).pop(key)
                    at(other, path)[key] = None
                    changes = [("renamed", renamed), ("null", other)] + ([] if key in OPTIONAL else [("left out", left_out)])
                    for what, changed in changes:
                        if validator.is_valid(changed):
                            sys.exit(f"{name}: {'/'.join(map(str, path + (key,)))} {what} is accepted")
                        refused += 1
            for path, value in ((("status",), "passed"), (("exit_code",), 2), (("findings", 0, "mode"), "locally"),
                                (("findings", 0, "metrics", "count"), -1), (("findings", 0, "metrics", "mae"), "infinity"),
                                (("findings", 0, "layer"), 1.5), (("schema_version",), 2)):
                changed = copy.deepcopy(document)
                at(changed, path[:-1])[path[-1]] = value
                if validator.is_valid(changed):
                    sys.exit(f"{name}: {'/'.join(map(str, path))} = {value!r} is accepted")
                refused += 1
    print(f"{len(runs)} documents are valid, {refused} changed ones are refused")


main()
