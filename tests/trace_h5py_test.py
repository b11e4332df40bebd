#!/usr/bin/env python3
"""Runs the README's ten lines of h5py on a real trace: they list every stage with shape, axes, kernel and contract.
Usage: trace_h5py_test.py GRETA"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

GRETA = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = next(p for p in ("/usr/bin/python3", sys.executable)
              if subprocess.run([p, "-c", "import h5py"], capture_output=True).returncode == 0)
STAGES = {"embed": "S,D", "q": "S,H,Dh", "qk": "S,H,T", "k_cache": "T,Hkv,Dh", "softmax": "S,H,T", "logits": "S,V",
          "attn_out": "S,HDh", "ffn_act": "S,F", "final_norm": "S,D"}


def main():
    lines = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    assert len(lines.strip().splitlines()) <= 10, "the README says ten lines"
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        model = pathlib.Path(folder) / "tiny.gguf"
        subprocess.run([GRETA, "model", "make", "--preset", "tiny", "--quant", "q4_k_m", "--seed", "3", "-o", model], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([GRETA, "run", "acceptance", "--model", model, "--prompt", "p0_short", "--out", out], check=True,
                       stdout=subprocess.DEVNULL)
        listed = subprocess.run([PYTHON, "-c", lines], cwd=out, capture_output=True, text=True, check=True).stdout
    rows = [line.split("  ") for line in listed.splitlines()]
    by_stage = {row[0].rsplit("/", 1)[-1]: row for row in rows}
    for stage, axes in STAGES.items():
        path, shape, found_axes, kernel, contract = by_stage[stage]
        assert found_axes == axes, (stage, found_axes)
        assert len(eval(shape)) == axes.count(",") + 1, (stage, shape)
        assert kernel and contract.startswith("op="), (stage, kernel, contract)
    for phase in ("prefill", "decode0"):
        assert any(f"/{phase}/layer_01/softmax" in row[0] for row in rows), phase
    print(f"{len(rows)} tensors listed by h5py alone")


main()
