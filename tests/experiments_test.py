#!/usr/bin/env python3
"""The five experiments (b3_25, b3_30, b3_31, b3_32, b3_33) in one command, as anyone would rerun them: exit code 0 with every expectation
met, within the time limit of the test, and cells of the reports' tables: what was reported, what was really there, and the engine as mended.
Usage: experiments_test.py GRETA"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = ["b3_25", "b3_30", "b3_31", "b3_32", "b3_33"]


class Run:
    def __init__(self, path):
        self.result = json.loads(path.read_text(encoding="utf-8"))

    def arm(self, name):
        return next(arm for arm in self.result["arms"] if arm["name"] == name)

    def figures(self, name, arm, **where):
        """All values of a figure in an arm: words, or numbers."""
        found = [figure["text"] or figure["value"]
                 for finding in self.result["findings"]
                 if finding["arm"] == arm and all(finding[key] == value for key, value in where.items() if key != "of")
                 for figure in finding.get("figures", [])
                 if figure["name"] == name and figure["of"] == where.get("of", figure["of"])]
        if not found:
            sys.exit(f"no figure {name} in {arm} {where}")
        return found

    def control(self, name, arm):
        return next(control for control in self.result["controls"] if control["name"] == name and control["arm"] == arm)


def expect(what, condition):
    if not condition:
        sys.exit(f"not so: {what}")


def is_only(values, word):
    return set(values) == {word}


def b3_25(run):
    decode = {"phase": "decode0", "stage": "v_cache"}
    expect("layer 0's cache is no layout", is_only(run.figures("v_layout_best", "baseline", **decode), "neither"))
    expect("prefill reads its own", is_only(run.figures("v_layout_best", "baseline", phase="prefill_last"), "row"))
    expect("a column layout is named", is_only(run.figures("v_layout_best", "col", **decode, of="head 2"), "col"))
    expect("the mended engine is row", is_only(run.figures("v_layout_best", "fixed"), "row"))
    expect("baseline's pv is far off", min(run.figures("pv_mae", "baseline", phase="decode0")) > 0.1)
    expect("fixed pv is not", max(run.figures("pv_mae", "fixed")) < 1e-6)
    expect("the window makes an error of its own", min(run.figures("pv_mae_window", "window64", prompt="p6_long", of="")) > 1e-3)
    expect("which the whole has not", max(run.figures("pv_mae", "window64")) < 1e-6)
    expect("the instrument is blamed", "the instrument, not the engine" in run.control("window", "window64")["line"])
    expect("short prompts lose nothing", max(run.figures("pv_mae_window", "window64", prompt="p5_ba")) < 1e-6)
    for arm in ("baseline", "fixed"):
        expect(f"top-1 of {arm} stands in the table", len(run.figures("top1", arm)) == 8)


def b3_30(run):
    expect("a wrong decode is blamed on decode", is_only(run.figures("wrong_side", "as_reported", stage="q"), "decode"))
    long = {"phase": "decode0_stepwise", "prompt": "p6_long"}
    expect("a wrong prefill on prefill", is_only(run.figures("wrong_side", "as_found", **long, stage="attn_out"), "prefill"))
    expect("and q is where a full tile ends", "prefill" in run.figures("wrong_side", "as_found", stage="q"))
    expect("short prompts cannot show it", is_only(run.figures("wrong_side", "as_found", prompt="p5_ba"), "neither"))


def b3_31(run):
    kernels = {arm: run.figures("kernel", arm, phase="prefill", prompt="p5_ba")[0] for arm in ("E1", "E2", "E3", "E4")}
    for arm, route in {"E1": "mfma_gemm", "E2": "mfma_gemv", "E3": "valu_gemm", "E4": "valu_gemv"}.items():
        expect(f"{arm} ran {route}", route in kernels[arm])
    expect("four kernels", len(set(kernels.values())) == 4)
    expect("the inert arm ran what E0 ran", run.figures("kernel", "inert") == run.figures("kernel", "E0"))
    expect("and is refused", run.control("route", "inert")["status"] == "invalid")


def b3_32(run):
    expect("norm_out is equal", is_only(run.figures("equal_whole", "as_reported", stage="attn_norm"), "yes"))
    expect("q is not", is_only(run.figures("equal_whole", "as_reported", stage="q"), "no"))
    part = {"stage": "q", "mode": "1/16"}
    expect("the window passes", is_only(run.figures("equal_window", "beyond_window", **part), "yes"))
    expect("what the whole refuses", is_only(run.figures("equal_whole", "beyond_window", **part), "no"))


def b3_33(run):
    q = {"stage": "q", "phase": "prefill"}
    expect("by column", is_only(run.figures("layout", "as_reported", **q), "col"))
    expect("neither", "neither" in run.figures("layout", "as_found", **q))
    expect("never by column", "col" not in run.figures("layout", "as_found"))
    expect("by row", is_only(run.figures("layout", "fixed"), "row"))
    causes = {trial["causes"][0] for explanation in run.result["explanations"] if explanation["arm"] == "as_found"
              for trial in explanation["fitting"]}
    expect("explained as transposed tiles", causes == {"tile_store=transposed"})


def main():
    greta = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out"
        command = [greta, "run", *(str(ROOT / "suites" / f"{name}.toml") for name in NAMES), "--out", out, "--no-trace"]
        begin = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=590)
        took = time.monotonic() - begin
        if done.returncode != 0:
            sys.exit(f"exit code {done.returncode}\n{done.stdout[-8000:]}")
        tail = done.stdout[done.stdout.rindex("==="):]
        expect(f"five lines say PASS\n{tail}", sum(line.startswith("PASS  B3.") for line in tail.splitlines()) == 5)
        for name in NAMES:
            run = Run(out / name / "verdicts.json")
            expect(f"{name} expects something of its arms", all(arm["expect_verdict"] for arm in run.result["arms"]))
            globals()[name](run)
    print(f"five experiments in {took:.0f} s")


main()
