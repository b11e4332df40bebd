"""What a compiler makes of the kernels for a card, read without one: per kernel, matrix instructions, spills, scratch
memory and shared memory."""
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEVICE_LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu/amdgcn/bitcode")
AMD_COMPILERS = ["amdclang++", "/opt/rocm/bin/amdclang++"] + [f"clang++-{v}" for v in range(30, 16, -1)]
MATRIX = re.compile(r"\bv_mfma_(f32_(16x16x16|32x32x8)_?b?f16|i32_16x16x(16|32)_?i8)|\b(HG?|I)MMA\.|\bw?mma\.|\bwgmma\.")


class Unavailable(Exception):
    """This machine lacks the compiler; the sentence says which."""


class Refused(Exception):
    """The compiler does not take the file."""


@dataclasses.dataclass
class Kernel:
    name: str  # demangled, without arguments
    matrix: int = 0  # instructions
    spills: int = 0  # registers (AMD; scalar ones go to others, not to memory) or bytes (NVIDIA) put away
    scratch: int = 0  # bytes a lane in memory
    shared: int = 0  # static bytes a block

    @property
    def function(self):
        return self.name.split("<")[0].split("::")[-1]


def _run(command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[-3:]
        raise Refused("; ".join(errors[:3]))
    return done


def _demangled(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    short = []
    for name in text.splitlines():
        name = re.sub(r"\(anonymous namespace\)::|\((?:\w+::)*\w+\)(?=\d)", "", name)  # the latter: the type of an enumerator
        name = re.sub(r"\b(greta|kernels|engine|on_amd|on_nvidia)::|^void ", "", name)
        short.append(re.sub(r"\([a-zA-Z_].*\)( \[clone.*)?$", "", name))
    return dict(zip(names, short))


class Amd:
    """Assembly of one of AMD's cards."""

    def __init__(self, card):
        self.card = card
        self.compiler = next((c for c in AMD_COMPILERS if shutil.which(c)), None)
        if not self.compiler:
            raise Unavailable(f"{card}: no clang of version 17 or later (scripts/setup --amd installs one)")
        self.library = []
        if DEVICE_LIBRARIES.is_dir():
            # Debian's device library knows gfx940, whose instructions gfx942 has all.
            self.folder = tempfile.TemporaryDirectory(prefix="card_code")
            for file in DEVICE_LIBRARIES.glob("*.bc"):
                (pathlib.Path(self.folder.name) / file.name).symlink_to(file)
            alias = pathlib.Path(self.folder.name) / "oclc_isa_version_942.bc"
            if not alias.exists():
                alias.symlink_to(DEVICE_LIBRARIES / "oclc_isa_version_940.bc")
            self.library = ["--rocm-path=/usr", f"--rocm-device-lib-path={self.folder.name}"]
        elif not os.path.isdir("/opt/rocm"):
            raise Unavailable(f"{card}: no device library of AMD (scripts/setup --amd installs it)")

    def __str__(self):
        return f"{self.card} ({self.compiler})"

    def kernels(self, file):
        text = _run([self.compiler, "-x", "hip", "--cuda-device-only", "-S", f"--offload-arch={self.card}", *self.library,
                     "-D__AMDGCN_WAVEFRONT_SIZE=64", "-mcode-object-version=5", "-std=c++20", "-O3", "-DNDEBUG",
                     "-ffp-contract=off", "-fno-slp-vectorize", "-Wno-pass-failed", f"-I{ROOT}", file, "-o", "-"]).stdout
        return self.parse(text)

    @staticmethod
    def parse(text):
        metadata = text[text.find(".amdgpu_metadata"):]
        entries = re.split(r"\n  - (?=\.)", metadata)[1:]
        found = {}
        for entry in entries:
            number = lambda key: int(re.search(rf"^ *\.{key}: *(\d+)", entry, re.M)[1])
            symbol = re.search(r"^    \.name: *'?([\w$.]+)", entry, re.M)[1]
            body = re.search(rf"^{re.escape(symbol)}:.*?^\.Lfunc_end", text, re.M | re.S)
            found[symbol] = Kernel(symbol, len(MATRIX.findall(body[0])) if body else 0,
                                   number("vgpr_spill_count"),
                                   number("private_segment_fixed_size"), number("group_segment_fixed_size"))
        return _named(found)


class Nvidia:
    """Machine code of one of NVIDIA's cards, or PTX where the toolkit has no cuobjdump."""

    def __init__(self, card):
        self.card = card
        self.compiler = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
        if not self.compiler:
            raise Unavailable(f"{card}: no nvcc")
        beside = pathlib.Path(self.compiler).with_name("cuobjdump")
        self.cuobjdump = shutil.which("cuobjdump") or (str(beside) if beside.exists() else None)

    def __str__(self):
        return f"{self.card} (nvcc{'' if self.cuobjdump else ', no cuobjdump: PTX'})"

    def kernels(self, file):
        with tempfile.TemporaryDirectory(prefix="card_code") as folder:
            cubin = pathlib.Path(folder) / "out.cubin"
            report = _run([self.compiler, "-x", "cu", "-std=c++20", f"-arch={self.card}", "-DGRETA_WAVE_GROUPS", "-O3", "-DNDEBUG", "-fmad=false",
                           "--expt-relaxed-constexpr", "--extended-lambda", f"-I{ROOT}", "-cubin", "-Xptxas", "-v",
                           "--keep", "--keep-dir", folder, "-o", cubin, file]).stderr
            if self.cuobjdump:
                code = _run([self.cuobjdump, "-sass", cubin]).stdout
                bodies = re.split(r"^\s*Function : ", code, flags=re.M)[1:]
            else:
                code = "".join(p.read_text() for p in pathlib.Path(folder).glob("*.ptx"))
                bodies = re.split(r"^\.(?:visible )?\.?entry ", code.replace(".visible .entry", ".entry"), flags=re.M)[1:]
        return self.parse(report, {body.split("(")[0].split()[0]: body for body in bodies})

    @staticmethod
    def parse(report, bodies):
        found = {}
        for part in report.split("Compiling entry function '")[1:]:
            symbol = part.split("'")[0]
            number = lambda pattern: int((re.search(pattern, part) or [0, 0])[1])
            found[symbol] = Kernel(symbol, len(MATRIX.findall(bodies.get(symbol, ""))),
                                   number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
                                   number(r"(\d+) bytes stack frame"), number(r"(\d+) bytes smem"))
        return _named(found)


def _named(found):
    names = _demangled(list(found))
    return [dataclasses.replace(kernel, name=names[symbol]) for symbol, kernel in found.items()]


# Parentheses, three deep.
INSIDE = r"(?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*"


def _functions(text):
    """{name: the bodies of the functions of that name}, from source without comments."""
    found = {}
    for match in re.finditer(rf"\b(\w+)\s*\({INSIDE}\)\s*(?:const\s*)?\{{", text):
        depth, at = 1, match.end()
        while depth and at < len(text):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        if match[1] not in ("if", "constexpr", "for", "while", "switch", "catch"):
            found[match[1]] = found.get(match[1], "") + text[match.end():at]
    return found


def _source(file, seen):
    """The file and what it includes of ours."""
    if file in seen or not file.exists():
        return ""
    seen.add(file)
    text = re.sub(r"//[^\n]*", "", file.read_text())
    for name in re.findall(r'#include "((?:kernels|engine)/[^"]+)"', text):
        text += _source(ROOT / name, seen)
    return text


def kernels_calling(file, function):
    """The names of the file's kernels from which a call of a function of this name (a regular expression) is reached."""
    functions = _functions(_source(pathlib.Path(file), set()))
    calls = {name: set(re.findall(r"\b(\w+)\s*(?:<[^;(){}]*>)?\s*\(", body)) for name, body in functions.items()}
    reaching = set()
    while True:
        more = {name for name, called in calls.items()
                if name not in reaching and (called & reaching or any(re.fullmatch(function, c) for c in called))}
        if not more:
            break
        reaching |= more
    bounds = rf"(?:__launch_bounds__\s*\({INSIDE}\)\s*)?"
    declared = re.findall(rf"__global__\s+{bounds}void\s+{bounds}(\w+)", _source(pathlib.Path(file), set()))
    return {name for name in declared if name in reaching}


def matrix_kernels(file):
    """Those that multiply with the matrix unit."""
    return kernels_calling(file, r"mma\w*")


def turning_kernels(file):
    """Those with sines and cosines, whose reduction of large angles keeps a few words of 2/π in CUDA's local memory."""
    return kernels_calling(file, r"(sincos|sin|cos)f?")


def launched(file):
    """The names of the kernels that the file itself launches: they must be in its code."""
    text = re.sub(r"//[^\n]*", "", pathlib.Path(file).read_text())
    return set(re.findall(r"hipLaunchKernelGGL\(\s*(?:HIP_KERNEL_NAME\(\s*)?\(?(\w+_kernel)\b", text))


def problems(kernels, must_multiply, must_be_there=(), may_keep=(), shared_limit=64 * 1024):
    """One sentence for each thing that is wrong. The kernels of `may_keep` may have 64 bytes of scratch memory."""
    wrong = []
    for name in sorted(must_be_there):
        if not any(kernel.function == name for kernel in kernels):
            wrong.append(f"{name}: launched in the source, but not in the code")
    for kernel in kernels:
        if kernel.function in must_multiply and kernel.matrix == 0:
            wrong.append(f"{kernel.name}: no matrix instruction")
        if kernel.spills:
            wrong.append(f"{kernel.name}: {kernel.spills} spilled")
        if kernel.scratch > (64 if kernel.function in may_keep else 0):
            wrong.append(f"{kernel.name}: {kernel.scratch} bytes of scratch memory a lane")
        if kernel.shared > shared_limit:
            wrong.append(f"{kernel.name}: {kernel.shared} bytes of shared memory")
    return wrong
