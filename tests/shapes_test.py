#!/usr/bin/env python3
"""The acceptance suite over model shapes: every quantisation, head grouping, tied and separate output, sizes that are no powers of
two, an odd vocabulary, a one-token prompt and one as long as the context. Fresh seeds each run, printed; GRETA_TEST_SEED fixes them.
Usage: shapes_test.py GRETA"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

GRETA = os.path.abspath(sys.argv[1])
CONTEXT = 48
# quant, heads, kv_heads, embedding, feed_forward, vocabulary, tied
SHAPES = [
    ("f32", 4, 4, 96, 200, 411, True),
    ("f32", 8, 2, 160, 352, 411, False),
    ("f16", 8, 1, 96, 160, 523, False),
    ("f16", 4, 1, 224, 288, 411, True),
    ("q8_0", 8, 2, 96, 224, 411, True),
    ("q8_0", 6, 6, 192, 320, 523, False),
    ("q4_k_m", 8, 2, 256, 768, 411, True),
    ("q4_k_m", 8, 1, 768, 512, 523, False),
    ("q4_k_m", 3, 3, 96, 160, 411, False),
]


def run(*words):
    result = subprocess.run([GRETA, *map(str, words)], capture_output=True, text=True)  # ctest has the limit
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")


def main():
    seed = int(os.environ.get("GRETA_TEST_SEED", random.randrange(1 << 31)))
    print(f"GRETA_TEST_SEED={seed}")
    numbers = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for index, (quant, heads, kv_heads, embedding, feed_forward, vocabulary, tied) in enumerate(SHAPES):
            model = folder / f"{index}.gguf"
            run("model", "make", "--preset", "tiny", "--quant", quant, "--seed", numbers.randrange(1 << 31), "-o", model,
                "--heads", heads, "--kv-heads", kv_heads, "--embedding", embedding, "--feed-forward", feed_forward,
                "--vocab", vocabulary, "--context", CONTEXT, "--tied", "yes" if tied else "no")
            tokens = lambda count: "tokens:" + ",".join(str(numbers.randrange(vocabulary)) for _ in range(count))
            prompts = [tokens(1), tokens(17), tokens(CONTEXT)]
            out = folder / str(index)
            run("run", "acceptance", "--model", model, "--out", out,
                *[word for prompt in prompts for word in ("--prompt", prompt)])
            verdict = json.loads((out / "verdicts.json").read_text())
            worst = max(f["metrics"]["bound_ratio"] for f in verdict["findings"] if f["metrics"]["count"])
            print(f"{quant:7} heads {heads}:{kv_heads} D {embedding} F {feed_forward} V {vocabulary} "
                  f"{'tied' if tied else 'separate'}: {verdict['status']}, {verdict['compared']} of {verdict['planned']} tensors, "
                  f"worst bound ratio {worst:.3f}")
            assert verdict["status"] == "pass" and verdict["compared"] == verdict["planned"] > 0


main()
