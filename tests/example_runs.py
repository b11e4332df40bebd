"""Small real runs for the tests of what a run leaves behind: one that passes, one with a fault that is explained beside one that
is expected, one without a verdict."""
import pathlib
import subprocess

HEAD = """title = "{title}"
model = "tiny"
quant = "q8_0"
prompts = ["p0_short", "p4_sys"]
phases = ["prefill", "prefill_last", "decode0"]
"""
PROBES = """
[[probe]]
use = "stage_parity"
[[probe]]
use = "stage_parity"
mode = "chained"
[[probe]]
use = "phase_parity"
"""
ARMS = {
    "pass": '[[arm]]\nname = "clean"\n',
    "explained": '[[arm]]\nname = "broken"\nfaults = ["ffn_residual.residual=twice"]\n'
                 '[[arm]]\nname = "planted"\nfaults = ["q.decode.weight_layout=col"]\n'
                 'expect = { verdict = "fail", first = "q", cause = "weight_layout=col" }\n',
    "unmet": '[[arm]]\nname = "planted"\nexpect = { verdict = "fail", first = "q" }\n',
    # The second arm runs what the first runs: the factor did nothing, so there is no verdict.
    "invalid": '[[arm]]\nname = "one"\n[[arm]]\nname = "other"\ndiffers_from = "one"\n',
    # The same, where the suite expects that a control refuses the second arm.
    "refused": '[[arm]]\nname = "one"\n[[arm]]\nname = "inert"\ndiffers_from = "one"\n'
               'expect = { verdict = "invalid", control = "factor" }\n',
}
EXIT_CODES = {"pass": 0, "explained": 1, "refused": 0, "unmet": 1, "invalid": 4}


def make(greta, folder, names=tuple(ARMS), flags=()):
    """name -> the run's directory"""
    runs = {}
    for name in names:
        suite = pathlib.Path(folder) / f"{name}.toml"
        suite.write_text(HEAD.format(title=name) + ARMS[name] + PROBES, encoding="utf-8")
        runs[name] = pathlib.Path(folder) / name
        done = subprocess.run([greta, "run", suite, "-o", runs[name], *flags], capture_output=True, text=True)
        if done.returncode != EXIT_CODES[name]:
            raise SystemExit(f"{name}: exit code {done.returncode}, not {EXIT_CODES[name]}\n{done.stdout}{done.stderr}")
    return runs
