"""Checks of the kernels' code that need no card: for gfx942, gfx90a and sm_90a (the card that is built for), every kernel file compiles; a kernel that
multiplies with the matrix unit has its instructions; nothing spills or lies in scratch memory; static shared memory is
at most 64 KiB. What this machine has no compiler for is skipped, and says so.

    card_code_test.py [TARGET…] [FILE.hip…]    (default: all)
"""
import concurrent.futures
import os
import pathlib
import sys
import tempfile
import time

import card_code
from card_code import Amd, Kernel, Nvidia, Refused, Unavailable, launched, matrix_kernels, problems, turning_kernels

TARGETS = {"gfx942": Amd, "gfx90a": Amd, "sm_90a": Nvidia}

# Kernels with a fault each; the check must see it.
PLANTED = {
    "no_instruction": ("""
        __global__ void no_instruction(const uint16_t* x, float* y) {
          FragmentA a; FragmentB b; FragmentAcc c; c.fill(0);
          for (int r = 0; r < fragment_elements(); ++r) a.x[r] = b.x[r] = x[r];
          if (fragment_elements() == 0) mma(c, a, b);
          y[lane_id()] = c.x[0] + a.x[0] + b.x[0];
        }""", "no matrix instruction"),
    "spills": ("""
        __global__ __launch_bounds__(1024) void spills(const float* x, float* y) {
          float v[400];
        #pragma unroll
          for (int i = 0; i < 400; ++i) v[i] = x[i * 1024 + threadIdx.x];
          __syncthreads();
        #pragma unroll
          for (int i = 0; i < 400; ++i) y[(i * 7 % 400) * 1024 + threadIdx.x] = v[i] * v[399 - i];
        }""", "spilled"),
    "scratch": ("""
        __global__ void scratch(const int* at, float* y) {
          float v[64];
          for (int i = 0; i < 64; ++i) v[at[i] & 63] = y[i];
          y[threadIdx.x] = v[at[threadIdx.x] & 63];
        }""", "bytes of scratch memory"),
    "sound": ("""
        __global__ void sound(const uint16_t* x, float* y) {
          FragmentA a; FragmentB b; FragmentAcc c; c.fill(0);
          for (int r = 0; r < fragment_elements(); ++r) a.x[r] = b.x[r] = x[64 * r + lane_id()];
          mma(c, a, b);
          for (int r = 0; r < fragment_elements(); ++r) y[64 * r + lane_id()] = c.x[r];
        }""", None),
}


def check_the_check(target, folder):
    """Each planted fault is seen; the sound kernel passes."""
    failures = []
    for name, (text, expected) in PLANTED.items():
        file = folder / f"{name}.hip"
        file.write_text('#include "kernels/hip/fragment.hpp"\n'
                        "namespace greta::kernels::inline GRETA_MACHINE {\n" + text + "\n}\n")
        found = problems(target.kernels(file), matrix_kernels(file))
        if expected is None and found:
            failures.append(f"a sound kernel is refused: {found}")
        if expected is not None and not any(expected in sentence for sentence in found):
            failures.append(f"the planted fault '{name}' was not seen: {found}")
    if not problems([Kernel("big", shared=64 * 1024 + 1)], set()):
        failures.append("65,537 bytes of shared memory were not seen")
    if not problems([Kernel("other")], set(), {"gone"}):
        failures.append("a kernel of the source that is not in the code was not seen")
    return failures


def examine(target, file):
    try:
        kernels = target.kernels(file)
    except Refused as error:
        return [], [f"does not compile: {error}"]
    may_keep = turning_kernels(file) if isinstance(target, Nvidia) else set()
    return kernels, problems(kernels, matrix_kernels(file), launched(file), may_keep)


def main(arguments):
    unknown = [a for a in arguments if a not in TARGETS and not a.endswith(".hip")]
    if unknown:
        sys.exit(f"card_code_test.py: unknown target {unknown[0]}; known: {', '.join(TARGETS)}, and .hip files")
    files = [pathlib.Path(a).resolve() for a in arguments if a.endswith(".hip")]
    root = card_code.ROOT
    files = files or sorted([*root.glob("kernels/*.hip"), *root.glob("engine/faults/*.hip")])
    if not files:
        sys.exit("card_code_test.py: no kernel files")
    failed, looked_at = 0, 0
    with tempfile.TemporaryDirectory(prefix="card_code") as folder, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name in [a for a in arguments if a in TARGETS] or TARGETS:
            begin = time.monotonic()
            try:
                target = TARGETS[name](name)
            except Unavailable as reason:
                print(f"SKIPPED  {reason}")
                continue
            planted = pool.submit(check_the_check, target, pathlib.Path(folder))
            results = list(pool.map(lambda file: examine(target, file), files))
            wrong = [f"the check itself: {text}" for text in planted.result()]
            multiplying = set()
            for file, (kernels, sentences) in zip(files, results):
                wrong += [f"{file.name}: {text}" for text in sentences]
                multiplying |= {f"{file.name} {k}" for k in matrix_kernels(file)}
            count = sum(len(kernels) for kernels, _ in results)
            if not count:
                wrong.append("no kernel in any file")
            if not multiplying and len(files) > 1 and not [a for a in arguments if a.endswith(".hip")]:
                wrong.append("no file of kernels/ multiplies with the matrix unit")
            for sentence in wrong:
                print(f"FAIL  {name}  {sentence}")
            print(f"{'FAIL' if wrong else 'ok'}  {target}: {len(files)} files, {count} kernels, "
                  f"{len(multiplying)} of the source with the matrix unit, {time.monotonic() - begin:.0f} s", flush=True)
            failed += len(wrong)
            looked_at += 1
    if failed:
        return 1
    return 0 if looked_at else 77  # ctest: skipped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
