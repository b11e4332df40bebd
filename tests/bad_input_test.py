#!/usr/bin/env python3
"""Bad input, from outside: the right exit code, one clear line, nothing lost. Usage: bad_input_test.py GRETA [unittest arguments]"""
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from gguf_edit import Gguf

GRETA = os.path.abspath(sys.argv.pop(1))
USAGE, BAD_INPUT = 2, 3
SUITE = """
title = "small"
prompts = ["p0_short"]
phases = ["prefill"]
[[probe]]
use = "stage_parity"
"""


def greta(*words, **options):
    return subprocess.run([GRETA, *map(str, words)], capture_output=True, text=True, timeout=300, **options)


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.dir = pathlib.Path(cls.folder.name)
        cls.model = cls.dir / "tiny.gguf"
        made = greta("model", "make", "--preset", "tiny", "--quant", "q4_k_m", "--seed", "7", "-o", cls.model)
        assert made.returncode == 0, made.stderr
        plain = cls.dir / "plain.gguf"
        made = greta("model", "make", "--preset", "tiny", "--quant", "f32", "--seed", "7", "-o", plain)
        assert made.returncode == 0, made.stderr
        cls.gguf = Gguf(cls.model.read_bytes())
        cls.plain = Gguf(plain.read_bytes())
        cls.suite = cls.dir / "small.toml"
        cls.suite.write_text(SUITE)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        self.out = self.dir / self.id().rsplit(".", 1)[-1]

    def run_suite(self, *words, suite=None, model=None):
        return greta("run", suite or self.suite, "--model", model or self.model, "--out", self.out, *words)

    def expect(self, result, code, *words):
        """One line on stderr that holds every word, and the code."""
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        lines = result.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        for word in words:
            self.assertIn(str(word), lines[0])

    def expect_broken(self, data, *words):
        path = self.dir / f"{self.id().rsplit('.', 1)[-1]}.gguf"
        path.write_bytes(data)
        self.expect(self.run_suite(model=path), BAD_INPUT, path.name, *words)
        self.expect(greta("model", "inspect", path), BAD_INPUT, path.name) if words[:1] != ("loads",) else None

    def test_the_good_model_passes(self):
        result = self.run_suite()
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    # --- models -----------------------------------------------------------------------------------------------------------------
    def test_no_file(self):
        self.expect(self.run_suite(model=self.dir / "none.gguf"), BAD_INPUT, "none.gguf")

    def test_directory(self):
        self.expect(self.run_suite(model=str(self.dir) + "/"), BAD_INPUT, self.dir.name)

    def test_empty_file(self):
        self.expect_broken(b"")

    def test_truncated_at_each_section(self):
        g = self.gguf
        first_key = next(iter(g.keys.values()))
        tokens = g.keys["tokenizer.ggml.tokens"]
        tensor = next(iter(g.tensors.values()))
        cuts = [2, 6, 12, 20, 24, first_key["start"] + 4, first_key["value"] - 2, (tokens["value"] + tokens["end"]) // 2,
                g.infos, tensor["start"] + 3, tensor["shape"] + 1, tensor["offset"] + 2, g.infos + (g.at - g.infos) // 2,
                g.at - 1, g.data_start, (g.data_start + len(g.data)) // 2, len(g.data) - 40]  # up to 31 bytes are padding
        for cut in cuts:
            with self.subTest(cut=cut):
                self.expect_broken(bytes(g.data[:cut]))

    def test_wrong_magic(self):
        self.expect_broken(self.gguf.with_bytes(0, b"GGML"), "GGUF")

    def test_version_99(self):
        self.expect_broken(self.gguf.with_bytes(4, struct.pack("<I", 99)), "99")

    def test_tensor_offset_overflows(self):
        for offset in (2**64 - 32, 2**63, len(self.gguf.data) // 32 * 32 + 32):
            at = self.gguf.tensors["output_norm.weight"]["offset"]
            self.expect_broken(self.gguf.with_bytes(at, struct.pack("<Q", offset)), "output_norm.weight")

    def test_tensor_shape_overflows(self):
        for size in (2**63, 2**64 - 256, 2**40):
            at = self.gguf.tensors["blk.0.attn_q.weight"]["shape"]
            self.expect_broken(self.gguf.with_bytes(at, struct.pack("<Q", size)), "blk.0.attn_q.weight")

    def test_unsupported_type(self):
        at = self.gguf.tensors["blk.0.attn_q.weight"]["type"]
        self.expect_broken(self.gguf.with_bytes(at, struct.pack("<I", 16)), "blk.0.attn_q.weight", "16")

    def test_architecture_is_not_llama(self):
        at = self.gguf.text_value_at("general.architecture")
        self.expect(self.broken_but_readable(self.gguf.with_bytes(at, b"mamba")), BAD_INPUT, "mamba", "llama")

    def test_missing_tensor(self):
        at = self.gguf.tensors["blk.1.ffn_up.weight"]["start"] + 8
        self.expect(self.broken_but_readable(self.gguf.with_bytes(at, b"blk.1.ffn_xx.weight")), BAD_INPUT,
                    "blk.1.ffn_up.weight")

    def test_nan_weights(self):
        at = self.plain.tensor_data("blk.1.attn_k.weight") + 4 * 33
        for bits in (0x7FC00000, 0x7F800000):
            self.expect(self.broken_but_readable(self.plain.with_bytes(at, struct.pack("<I", bits))), BAD_INPUT,
                        "blk.1.attn_k.weight", "NaN")
        scale = self.gguf.tensor_data("blk.0.ffn_gate.weight")
        self.expect(self.broken_but_readable(self.gguf.with_bytes(scale, struct.pack("<H", 0x7E00))), BAD_INPUT,
                    "blk.0.ffn_gate.weight", "NaN")

    def broken_but_readable(self, data):
        path = self.dir / f"{self.id().rsplit('.', 1)[-1]}.gguf"
        path.write_bytes(data)
        return self.run_suite(model=path)

    # --- prompts and names --------------------------------------------------------------------------------------------------------
    def test_prompt_longer_than_the_context(self):
        self.expect(self.run_suite("--prompt", "tokens:" + ",".join(["5"] * 5000)), BAD_INPUT, "5000", "context")

    def test_empty_prompt(self):
        empty = self.dir / "empty.txt"
        empty.write_bytes(b"")
        for spec in (f"file:{empty}", "text:", "tokens:"):
            with self.subTest(spec=spec):
                result = self.run_suite("--prompt", spec)
                self.assertIn(result.returncode, (USAGE, BAD_INPUT), result.stderr)
                self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)

    def test_unknown_names_get_the_nearest_right_one(self):
        suite = self.dir / "wrong.toml"
        cases = [("key", SUITE.replace("title", "titel"), "title"),
                 ("probe", SUITE.replace("stage_parity", "stage_partiy"), "stage_parity"),
                 ("stage", SUITE + 'stages = ["sofmax"]\n', "softmax"),
                 ("phase", SUITE.replace('"prefill"', '"prefil"'), "prefill")]
        for kind, text, right in cases:
            with self.subTest(kind=kind):
                suite.write_text(text)
                self.expect(self.run_suite(suite=suite), USAGE, right)
        self.expect(self.run_suite("--modle", "x"), USAGE, "--modle", "--model")
        self.expect(self.run_suite("--prompt", "p0_shrot"), USAGE, "p0_short")
        self.expect(greta("model", "make", "--preset", "mimi", "-o", self.dir / "x.gguf"), USAGE, "mini")
        self.expect(greta("model", "make", "--preset", "mini", "--quant", "q4_k_n", "-o", self.dir / "x.gguf"), USAGE, "q4_k_m")
        self.expect(greta("rnu"), USAGE, "run")
        self.expect(greta("trace", "inspekt", "x"), USAGE, "inspect")
        self.expect(greta("list", "probs"), USAGE, "probes")
        self.expect(self.run_suite("--only", "no_such_thing_here"), USAGE, "no_such_thing_here")
        self.expect(greta("list", env={**os.environ, "GRETA_QKV_FORCE_RUOTE": "mfma"}), USAGE, "GRETA_QKV_FORCE_ROUTE")

    def test_suite_that_is_not_toml(self):
        suite = self.dir / "broken.toml"
        suite.write_text("title = \n")
        self.expect(self.run_suite(suite=suite), USAGE, "broken.toml", "line 1")
        self.expect(self.run_suite(suite=self.dir / "none.toml"), BAD_INPUT, "none.toml")

    def test_damaged_trace(self):
        path = self.dir / "broken.h5"
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
        self.expect(greta("trace", "inspect", path), BAD_INPUT, path.name)
        self.expect(greta("compare", path, path), BAD_INPUT, path.name)

    # --- the machine fails --------------------------------------------------------------------------------------------------------
    def test_output_that_cannot_be_written(self):
        result = greta("run", self.suite, "--model", self.model, "--out", "/dev/null/runs")
        self.assertIn(result.returncode, (USAGE, BAD_INPUT), result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        self.assertIn("/dev/null/runs", result.stderr)

    def long_run(self):
        mini = self.dir / "mini.gguf"
        if not mini.exists():
            self.assertEqual(greta("model", "make", "--preset", "mini", "--quant", "q4_k_m", "--seed", "7", "-o", mini).returncode, 0)
        return ["run", "acceptance", "--model", str(mini), "--out", str(self.out)]

    def test_full_disk(self):
        """A trace that outgrows what the disk gives: here, a file size limit of 8 MiB."""
        result = subprocess.run(["bash", "-c", 'ulimit -f 8192; exec "$@"', "bash", GRETA, *self.long_run()],
                                capture_output=True, text=True, timeout=300)
        self.assertIn(result.returncode, (BAD_INPUT, 4), result.stdout + result.stderr)
        self.assertIn("trace.h5", result.stdout + result.stderr)
        verdicts = json.loads((self.out / "verdicts.json").read_text())
        self.assertTrue(verdicts["interrupted"])
        inspected = greta("trace", "inspect", self.out / "trace.h5")
        self.assertEqual(inspected.returncode, 0, inspected.stderr)
        self.assertIn("incomplete", inspected.stdout)

    def test_kill_in_mid_run(self):
        process = subprocess.Popen([GRETA, *self.long_run()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        trace = self.out / "trace.h5"
        deadline = time.time() + 60
        while time.time() < deadline and process.poll() is None and not (self.out / "verdicts.json").exists():
            time.sleep(0.01)  # the first case is on disk
        self.assertIsNone(process.poll(), "the run ended before it could be killed")
        process.send_signal(signal.SIGKILL)
        process.wait()
        inspected = greta("trace", "inspect", trace)
        self.assertEqual(inspected.returncode, 0, inspected.stderr)
        self.assertIn("incomplete", inspected.stdout)
        self.assertGreater(len(json.loads((self.out / "verdicts.json").read_text())["findings"]), 0)
        read = subprocess.run(["/usr/bin/python3", "-c",
                               "import h5py,sys; f=h5py.File(sys.argv[1]); print(int(f.attrs['complete']), len(list(f)))",
                               str(trace)], capture_output=True, text=True)
        self.assertEqual(read.stdout.split()[0], "0", read.stderr)


unittest.main()
