"""The build for AMD cards: compiles every kernel with hipcc for gfx90a, links them with the host engine into one program,
and sees what that program says where there is no such card. Skipped (77) where hipcc is not installed.

    hip_amd_test.py BUILD_DIRECTORY [TARGET]    (no target: this build has none, for want of hipcc)
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import time

failures = []


def check(holds, what):
    print(f"{'ok' if holds else 'FAIL'}  {what}", flush=True)
    if not holds:
        failures.append(what)


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def main():
    build = pathlib.Path(sys.argv[1])
    if len(sys.argv) < 3:
        print("SKIPPED  the build for AMD cards: no hipcc when this build was configured (scripts/setup --amd)")
        return 77
    begin = time.monotonic()
    made = run("cmake", "--build", build, "--target", sys.argv[2])
    check(made.returncode == 0, f"gfx90a: compiled and linked in {time.monotonic() - begin:.0f} s")
    if made.returncode != 0:
        print((made.stdout + made.stderr)[-4000:])
        return 1
    greta = build / sys.argv[2]

    content = greta.read_bytes()
    check(b"amdgcn-amd-amdhsa--gfx90a" in content, "the program carries code for gfx90a")
    check(b"mfma_gemm_kernel" in content, "the program carries the kernels by name")

    doctor = run(greta, "doctor")
    check(doctor.returncode == 0 and re.search(r"machines +the host machine, amd cards", doctor.stdout),
          "greta doctor: host and AMD cards")
    with tempfile.TemporaryDirectory() as folder:
        common = ["--model", "tiny", "--prompt", "p0_short", "--no-trace"]
        host = run(greta, "run", *common, "--out", f"{folder}/host")
        check(host.returncode == 0 and "PASS" in host.stdout, "the host machine of the same program: PASS")
        card = run(greta, "run", *common, "--device", "hip", "--out", f"{folder}/card")
        if re.search(r"^  hip:0 ", doctor.stdout, re.M):
            check(card.returncode == 0 and "PASS" in card.stdout, "this machine's AMD card: PASS")
        else:
            check(card.returncode == 3, f"--device hip without a card: exit {card.returncode}, 3 expected")
            check(re.fullmatch(r"greta run: device hip: there is no amd card [^\n]*\n", card.stderr),
                  f"and one line: {card.stderr.strip()}")
            check(re.search(r"^  hip +there is no amd card", doctor.stdout, re.M), "greta doctor says what is missing")
            check(not pathlib.Path(f"{folder}/card").exists(), "and leaves no directory behind")
    if failures:
        print(host.stdout[-2000:] + host.stderr[-2000:] + card.stderr[-1000:])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
