"""greta reference, and what scripts/oracle.py needs of it, without PyTorch: every stage of both phases is there in float64,
decode0 equals prefill's last row, and NumPy's own reader and dequantisation give the same embeddings, projections and logits.

    oracle_test.py GRETA
"""
import importlib.util
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("oracle", ROOT / "scripts" / "oracle.py")
sys.dont_write_bytecode = True
oracle = importlib.util.module_from_spec(spec)
spec.loader.exec_module(oracle)

GRETA = sys.argv[1]
failures = []


def check(holds, what):
    if not holds:
        failures.append(what)
        print(f"FAIL  {what}")


def greta(*arguments, code=0):
    done = subprocess.run([GRETA, *map(str, arguments)], capture_output=True, text=True)
    check(done.returncode == code, f"greta {' '.join(map(str, arguments))}: exit {done.returncode}, {code} expected: {done.stderr}")
    return done


def near(ours, theirs):
    return ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 1e-12 * np.abs(ours).max()


def stages_are_whole(group, sizes, S, T):
    found = {}
    group.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    wanted = {stage if stage in oracle.OUTSIDE else f"layer_{layer:02d}/{stage}"
              for stage in oracle.STAGES for layer in range(sizes.layers)}
    check(set(found) == wanted, f"{group.name}: stages {sorted(set(found) ^ wanted)[:4]}")
    for name, item in found.items():
        check(item.dtype == np.float64, f"{group.name}/{name} is {item.dtype}")
        check(item.shape[0] == (T if name.endswith("_cache") else S), f"{group.name}/{name}: {item.shape}")


def products_agree(gguf, group, tokens):
    """Stages that are one product of another stage, recomputed here."""
    wrong = []
    if not near(group["embed"][()], gguf.tensor("token_embd.weight")[tokens]):
        wrong.append("embed")
    output = "output.weight" if "output.weight" in gguf.infos else "token_embd.weight"
    if not near(group["logits"][()], group["final_norm"][()] @ gguf.tensor(output).T):
        wrong.append("logits")
    layer = group["layer_01"]
    for stage, x, weight in [("q", "attn_norm", "attn_q"), ("v", "attn_norm", "attn_v"), ("wo", "attn_out", "attn_output"),
                             ("ffn_gate", "ffn_norm", "ffn_gate"), ("ffn_down", "ffn_act", "ffn_down")]:
        y = layer[stage][()]
        if not near(y.reshape(len(y), -1), layer[x][()] @ gguf.tensor(f"blk.1.{weight}.weight").T):
            wrong.append(stage)
    return wrong


def last_rows_agree(prefill, decode):
    """Both phases hold the same token at the same position over the same cache, computed in two ways."""
    for stage in ("logits", "layer_01/attn_out", "layer_01/ffn_residual"):
        check(near(decode[stage][()], prefill[stage][()][-1:]), f"{stage}: decode0 is prefill's last row")
    check(near(decode["layer_01/k_cache"][()], prefill["layer_01/k_cache"][()]), "k_cache: the same in both phases")


def examine(folder, quant, *shape):
    model, trace_path = folder / f"{quant}.gguf", folder / f"{quant}.h5"
    greta("model", "make", "--preset", "tiny", "--quant", quant, "--seed", 5, "-o", model, *shape)
    greta("reference", model, "-p", "p5_ba", "-p", "tokens:7", "-o", trace_path)
    gguf = oracle.Gguf(model)
    sizes = oracle.Sizes(gguf)
    with h5py.File(trace_path) as trace:
        check(trace.attrs["complete"] == 1 and len(trace["prompts"]) == 2, f"{quant}: a complete trace of two prompts")
        for prompt in trace["prompts"]:
            tokens = trace["prompts"][prompt][()]
            T = len(tokens)
            phases = trace[f"{prompt}/reference"]
            stages_are_whole(phases["prefill"], sizes, T, T)
            stages_are_whole(phases["decode0"], sizes, 1, T)
            last_rows_agree(phases["prefill"], phases["decode0"])
            check(not products_agree(gguf, phases["prefill"], tokens), f"{quant} {prompt}: {products_agree(gguf, phases['prefill'], tokens)}")
        # One wrong bit of one weight is seen, and where.
        spoilt = oracle.Gguf(model)
        spoilt.bytes = np.array(spoilt.bytes)
        spoilt.bytes[spoilt.begin + spoilt.infos["blk.1.attn_v.weight"][2] + 19] ^= 1
        prompt = next(iter(trace["prompts"]))
        seen = products_agree(spoilt, trace[f"{prompt}/reference/prefill"], trace["prompts"][prompt][()])
        check(seen == ["v"], f"{quant}: a wrong bit in layer 1's v is seen in {seen}")
    return {oracle.TYPES[kind][0] for _, kind, _ in gguf.infos.values()}


def main():
    types = set()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        types |= examine(folder, "q4_k_m")
        types |= examine(folder, "q8_0", "--tied", "yes", "--rope-factors", "yes")
        types |= examine(folder, "f16")
        types |= examine(folder, "f32")
        check({"F32", "F16", "Q8_0", "Q4_K", "Q6_K"} <= types, f"types that were read: {types}")
        refused = greta("reference", folder / "f32.gguf", "-o", folder / "f32.h5", code=2)
        check("--force" in refused.stderr, "an existing file is not overwritten unawares")
        greta("reference", folder / "f32.gguf", "-f", "-o", folder / "f32.h5")
        greta("reference", folder / "f32.h5", "-o", folder / "x.h5", code=3)
        greta("reference", folder / "missing.gguf", "-o", folder / "x.h5", code=3)
        compared = greta("compare", folder / "f32.h5", folder / "f32.h5", code=4)
        check("oracle.py" in compared.stdout + compared.stderr, f"greta compare says who compares float64: {compared.stdout}")
    # The permutation of GGUF's rows against rotate-half: pairs (2i, 2i+1) come apart.
    check(oracle.unpermuted(np.arange(8).reshape(8, 1), 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7], "rows of two heads")
    check(oracle.unpermuted_heads(np.arange(6.0)).tolist() == [0, 2, 4, 1, 3, 5], "values of a head")
    if not failures:
        print("ok")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
