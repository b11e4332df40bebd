"""scripts/gpu-check with programs that pretend: what is fast enough passes, what is not is short, what is wrong, missing or
without a ceiling fails, and the tables of several calls merge into one."""
import os
import pathlib
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "scripts" / "gpu-check"
SHAPES = ["4096x4096", "14336x4096", "4096x14336", "128256x4096"]
failures = []


def check(holds, what):
    if not holds:
        failures.append(what)
        print(f"FAIL  {what}")


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def lines(rows):
    return "cat <<'E'\n" + "\n".join("\t".join(row) for row in rows) + "\nE"


def gemv(share):
    return lines([[f"gemv_{kind}_{shape}", "3000", "GB/s", "4000", share] for kind in ("q4_K", "q6_K") for shape in SHAPES])


def gpu_check(folder, *parts):
    done = subprocess.run([sys.executable, SCRIPT, "--bin", folder / "bin", "--out", folder / "out", *parts], capture_output=True, text=True,
                          env=os.environ | {"PATH": f"{folder / 'tools'}:{os.environ['PATH']}"})
    rows = [line.split("\t") for line in (folder / "out" / "gpu-check.tsv").read_text().splitlines()] \
        if (folder / "out" / "gpu-check.tsv").exists() else []
    return done, rows


GRETA = r"""
device=host out=x
while [ $# -gt 0 ]; do
  case "$1" in --device) device=$2; shift;; --out) out=$2; shift;; esac
  shift
done
for suite in acceptance b3_25 b3_30 b3_31 b3_32 b3_33; do
  mkdir -p $out/$suite
  status=pass
  [ "$device" = hip ] && [ $suite = b3_31 ] && [ -e "$0.wrong" ] && status=fail
  echo '{"status": "pass", "findings": [{"key": "p/a/prefill/q", "status": "'$status'"}]}' > $out/$suite/verdicts.json
done
"""


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        program(folder / "bin" / "greta", GRETA)
        bench = folder / "bin" / "card" / "gemv_bench"

        program(bench, gemv("0.75"))
        done, rows = gpu_check(folder, "gemv")
        check(done.returncode == 0 and [row[-1] for row in rows] == ["PASS"] * 8, f"fast enough: {rows}")
        program(bench, gemv("0.69"))
        done, rows = gpu_check(folder, "gemv")
        check(done.returncode == 1 and [row[-1] for row in rows] == ["short"] * 8, f"too slow: {rows}")
        program(bench, gemv("0.75").replace("128256x4096", "1x1"))
        done, rows = gpu_check(folder, "gemv")
        check(done.returncode == 1 and rows[-1][-1] == "FAIL" and "6 figures" in rows[-1][1], f"a shape is missing: {rows}")
        program(bench, gemv("0.75") + "\nexit 1")
        done, rows = gpu_check(folder, "gemv")
        check(done.returncode == 1 and rows[0][-1] == "FAIL", f"the program fails: {rows}")
        program(bench, gemv("-").replace("4000", "-"))
        done, rows = gpu_check(folder, "gemv")
        check(done.returncode == 1 and all(row[-1] == "FAIL" for row in rows), f"no ceiling: {rows}")
        bench.unlink()
        done, rows = gpu_check(folder, "gemv")
        check(done.returncode == 1 and rows[0][-1] == "FAIL", f"no program: {rows}")

        small = [[f"{kernel} {shape}", "3", "TB/s", "4", "0.9"] for kernel in ("rmsnorm", "softmax", "swiglu", "rope")
                 for shape in (("2048x32x128", "16384x32x128") if kernel == "rope" else ("2048x4096", "8192x14336"))]
        odd = [["rmsnorm 65600x205", "1", "TB/s", "4", "0.3"], ["rmsnorm 1x4096", "2", "us", "0", "0.000"]]
        program(bench.with_name("elementwise_bench"), lines(small + odd))
        done, rows = gpu_check(folder, "elementwise")
        check(done.returncode == 0 and [row[-1] for row in rows] == ["PASS"] * 8 + ["noted"] * 2, f"other shapes are noted: {rows}")
        program(bench.with_name("elementwise_bench"), lines(small[1:] + odd))
        done, rows = gpu_check(folder, "elementwise")
        check(done.returncode == 1 and "1 figures" in rows[1][1], f"a width is missing: {rows}")

        done, rows = gpu_check(folder, "verdicts")
        check(done.returncode == 0 and len(rows) == 7, f"equal verdicts: {rows}")
        (folder / "out").rename(folder / "earlier")
        done, rows = gpu_check(folder, "verdicts", "--host-from", folder / "earlier")
        check(done.returncode == 0 and len(rows) == 7, f"the host's side from an earlier call: {rows}")
        (folder / "earlier" / "verdicts_host" / "b3_31" / "verdicts.json").write_text('{"status": "pass", "findings": []}')
        done, rows = gpu_check(folder, "verdicts", "--host-from", folder / "earlier")
        check(done.returncode == 1 and [row[0] for row in rows if row[-1] == "FAIL"] == ["b3_31: verdicts as on the host"],
              f"another host's side: {rows}")
        (folder / "bin" / "greta.wrong").touch()
        done, rows = gpu_check(folder, "verdicts")
        check(done.returncode == 1 and [row[0] for row in rows if row[-1] == "FAIL"] == ["b3_31: verdicts as on the host"],
              f"one verdict differs: {rows}")

        tool = folder / "tools" / "compute-sanitizer"
        clean = "case \"$2\" in racecheck) kind=RACECHECK what=hazards;; *) kind=ERROR what=errors;; esac\n"
        program(tool, clean + 'echo "========= $kind SUMMARY: 0 $what displayed"')
        done, rows = gpu_check(folder, "sanitizer")
        check(done.returncode == 0 and [row[-1] for row in rows] == ["PASS"] * 3, f"nothing found: {rows}")
        for what, text in (("a hazard", clean + 'case "$*" in *racecheck*plain*) n=1;; *) n=0;; esac\necho "== $kind SUMMARY: $n $what"'),
                           ("an exit code", clean + 'echo "== $kind SUMMARY: 0 $what"\ncase "$*" in *racecheck*plain*) exit 97;; esac'),
                           ("no summary", clean + 'case "$*" in *racecheck*plain*) ;; *) echo "== $kind SUMMARY: 0 $what";; esac')):
            program(tool, text)
            done, rows = gpu_check(folder, "sanitizer")
            check(done.returncode == 1 and [row[-1] for row in rows] == ["PASS", "PASS", "FAIL"] and "plain: " in rows[2][1],
                  f"{what} in one route: {rows}")

        check(gpu_check(folder, "gemw")[0].returncode == 2, "an unknown part")
        (folder / "a.tsv").write_text("x\t1\t\t\t2\tshort\ny\t1\t\t\t1\tPASS\n")
        (folder / "b.tsv").write_text("x\t2\t\t\t2\tPASS\n")
        done = subprocess.run([sys.executable, SCRIPT, "--out", folder / "merged", "--merge", folder / "a.tsv", folder / "b.tsv"],
                              capture_output=True, text=True)
        check(done.returncode == 0 and "2 PASS" in done.stdout and "short" not in done.stdout.splitlines()[1], f"merged: {done.stdout}")
    if not failures:
        print("ok")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
