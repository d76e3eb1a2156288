"""From the text of a CUDA module to a library for the host: preprocess, translate a few words, compile, cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HOST = Path(__file__).resolve().parent / "host"
_RUNTIME = ("memory.cpp", "threads.cpp", "launch.cpp", "checks.cpp")

# -ffp-contract=off: a product and a sum are rounded one by one, so that results do not depend on the compiler.
# -fno-strict-aliasing, -fwrapv: the device compiler promises both.
_FLAGS = (
    "-std=c++17 -g1 -fPIC -fvisibility=hidden -w -nostdinc -fno-exceptions -fno-rtti -fno-threadsafe-statics "
    "-fno-stack-protector -U_FORTIFY_SOURCE -fno-strict-aliasing -fwrapv -fno-math-errno -fno-trapping-math "
    "-ffp-contract=off"
).split()
# Streaming kernels do little per byte and come in hundreds: -Og compiles them in two thirds of the time of -O1.
_STREAMING = ["-Og", "-fsanitize=alignment,bounds"]
_FAST = ["-O1", "-fsanitize=alignment,bounds"]
_CHECKED = ["-Og", "-fsanitize=alignment,bounds,thread", "-DSIM_CHECKED"]


def cache_dir() -> Path:
    """Where compiled modules are kept: GRADGPU_CACHE_DIR, or the user's cache directory."""
    root = os.environ.get("GRADGPU_CACHE_DIR")
    if root:
        return Path(root) / "simulator"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradgpu" / "simulator"


@functools.cache
def host_compiler() -> str:
    """The path of a C++ compiler: CXX, g++, clang++ or c++.

    Raises:
        RuntimeError: there is none, or the system is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise RuntimeError(
            f"the CUDA simulator runs on Linux (x86-64 and ARM), not on {sys.platform}; "
            "use Linux (on Windows: WSL), or the device 'cpu'"
        )
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        path = shutil.which(name) if name else None
        if path:
            return path
    raise RuntimeError(
        "the CUDA simulator compiles kernels with the host's C++ compiler, and found none: install g++ "
        "(Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++) or clang++, or name one in the variable CXX"
    )


@functools.cache
def _version() -> bytes:
    """Changes whenever the compiler or the simulator's own C++ changes."""
    compiler = Path(os.path.realpath(host_compiler()))
    stat = compiler.stat()
    digest = hashlib.sha256(
        f"{compiler} {stat.st_size} {stat.st_mtime_ns} {_FLAGS} {_STREAMING} {_FAST} {_CHECKED}".encode()
    )
    for file in sorted([Path(__file__), *HOST.rglob("*.h"), *HOST.rglob("*.cpp")]):
        digest.update(file.read_bytes())
    return digest.digest()


def _run(arguments: list[str], text: str, what: str) -> str:
    done = subprocess.run(
        [host_compiler(), *arguments], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        shown = "\n".join(lines[:40]) + ("\n…" if len(lines) > 40 else "")
        raise RuntimeError(f"compiling {what} for the CUDA simulator failed:\n{shown}")
    return done.stdout


def _store(target: Path, make: Callable[[str], object]) -> Path:
    """`target`, made under another name first if it is not there: processes may make the same at the same time."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(suffix=target.suffix, dir=target.parent)
    os.close(handle)
    try:
        make(temporary)
        os.replace(temporary, target)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return target


@functools.cache
def runtime() -> ctypes.PyDLL:
    """The simulator's own library. It holds the GIL: one launch at a time."""
    sources = [str(HOST / name) for name in _RUNTIME]
    flags = "-std=c++17 -O2 -g1 -fPIC -shared -pthread -U_FORTIFY_SOURCE -fno-stack-protector".split()
    libraries = ["-Wl,--no-as-needed", "-lm", "-ldl"]
    path = _store(
        cache_dir() / f"runtime-{hashlib.sha256(_version()).hexdigest()[:16]}.so",
        lambda temporary: _run([*flags, *sources, *libraries, "-o", temporary], "", "its runtime"),
    )
    return ctypes.PyDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def _mode(checked: bool, streaming: bool) -> list[str]:
    if not checked:
        return _STREAMING if streaming else _FAST
    # Volatile accesses are no races: kernels poll with them.
    volatile = (
        [] if "clang" in os.path.realpath(host_compiler()) else ["--param", "tsan-distinguish-volatile=1"]
    )
    return [*_CHECKED, *volatile]


@dataclass(frozen=True)
class Unit:
    """A CUDA source text made ready for the host's compiler."""

    text: str  # C++, without the table of kernels
    kernels: dict[str, str]  # name: largest number of threads in a block (a C++ expression)
    shared: int  # how many __shared__ declarations there are
    name: str  # for messages
    key: str

    @property
    def whole(self) -> bool:
        """Compile all kernels into one library? Else each becomes a library when it is first wanted: a file with
        many large kernels takes seconds, and a program uses few of them."""
        return len(self.kernels) <= 5 and self.shared == 0


def unit(source: str, name: str) -> Unit:
    """Preprocesses and translates a CUDA source text, or takes the result from the cache.

    Args:
        source: the text, its own headers in place.
        name: the name that messages give to the text.

    Raises:
        RuntimeError: the preprocessor finds an error, or there is no compiler.
    """
    key = hashlib.sha256(_version() + name.encode() + b"\0" + source.encode()).hexdigest()
    path = cache_dir() / key[:2] / f"{key[2:34]}.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Unit(kept["text"], kept["kernels"], kept["shared"], name, key)
    except (OSError, ValueError, KeyError):
        made = translate(preprocess(source, name), name, key)
    content = {"text": made.text, "kernels": made.kernels, "shared": made.shared}
    _store(path, lambda temporary: Path(temporary).write_text(json.dumps(content), encoding="utf-8"))
    return made


def build(u: Unit, kernel: str, checked: bool = False) -> Path:
    """The library that holds a kernel.

    Args:
        u: the text.
        kernel: the kernel that is wanted; others may come along.
        checked: every load and store calls the runtime first.

    Raises:
        RuntimeError: the compiler finds an error.
    """
    wanted = dict(u.kernels) if u.whole else {kernel: u.kernels[kernel]}
    key = hashlib.sha256(f"{u.key} {checked} {' '.join(wanted)}".encode()).hexdigest()
    mode = _mode(checked, u.whole)

    def make(temporary: str) -> None:
        options = [*_FLAGS, *mode, "-shared", "-nostdlib", "-I", str(_precompiled(*mode)), "-I", str(HOST)]
        _run([*options, "-x", "c++", "-", "-o", temporary], _complete(u, wanted), u.name)

    return _store(cache_dir() / key[:2] / f"{key[2:34]}.so", make)


def build_all(sources: Iterable[tuple[str, str]], jobs: int | None = None) -> None:
    """Builds every kernel of each (source, name), several at a time."""
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        units = list(pool.map(lambda pair: unit(*pair), sources))
        wanted = [(u, kernel) for u in units for kernel in (list(u.kernels)[:1] if u.whole else u.kernels)]
        for job in [pool.submit(build, u, kernel) for u, kernel in wanted]:
            job.result()


@functools.cache
def _precompiled(*mode: str) -> Path:
    """A folder with the precompiled header (GCC finds it by its name; clang passes it by)."""
    folder = cache_dir() / f"header-{hashlib.sha256(_version() + ' '.join(mode).encode()).hexdigest()[:16]}"
    options = [*_FLAGS, *mode, "-x", "c++-header", str(HOST / "cuda_on_host.h")]
    _store(
        folder / "cuda_on_host.h.gch", lambda temporary: _run([*options, "-o", temporary], "", "its header")
    )
    return folder


def _complete(u: Unit, kernels: dict[str, str]) -> str:
    """The text with the table of these kernels; others become static, so that the compiler passes them by."""
    text = u.text
    for other in u.kernels.keys() - kernels.keys():
        text = re.sub(rf'\bextern\s+"C"\s+(?=[^;{{}}()]*\b{other}\s*\()', "static ", text)
    ranges = "".join(f"SIM_SHARED_RANGE({i})\n" for i in range(u.shared))
    table = ", ".join(f"SIM_KERNEL({name}, unsigned({bound}))" for name, bound in kernels.items())
    shared = ", ".join(f"{{__start_sim_shared_{i}, __stop_sim_shared_{i}}}" for i in range(u.shared))
    return (
        f'#include "cuda_on_host.h"\n{text}\n# 1 "table of kernels"\n{ranges}'
        f"static const SimKernel sim_kernels[] = {{ {table or '{}'} }};\n"
        f"static const SimRange sim_shared[] = {{ {shared or '{}'} }};\n"
        'extern "C" __attribute__((visibility("default"))) const SimModule sim_module = '
        f"{{sim_kernels, {len(kernels)}, sim_shared, {u.shared}}};\n"
    )


def preprocess(source: str, name: str) -> str:
    label = name.replace("\\", "/").replace('"', "'")
    arguments = ["-E", "-x", "c++", "-std=c++17", "-w", "-nostdinc", "-undef", "-I", str(HOST / "include")]
    return _run([*arguments, "-imacros", str(HOST / "macros.h"), "-"], f'# 1 "{label}"\n{source}', name)


_EXTERN_SHARED = re.compile(
    r"\bextern\s+__shared__\s+(?:__attribute__\s*\(\(.*?\)\)\s*)?([\w:<>\s]+?)\s*(?:__attribute__\s*\(\(.*?\)\)\s*)?"
    r"(\w+)\s*\[\s*\]\s*;"
)
_SHARED = re.compile(r"\b(?:static\s+)?__shared__\b")
_KERNEL = re.compile(r"\b__global__\b")
_ASSEMBLY = re.compile(r"\b(?:asm|__asm__)\s*(?:volatile|__volatile__)?\s*\(")
_BOUNDS = re.compile(r"\b__launch_bounds__\s*\(")
_BOUND_MARK = re.compile(r"/\*bounds (\d+)\*/")
_SPACE = r"(?:\s|/\*bounds \d+\*/|static\b|inline\b|__attribute__\s*\(\(\w+\)\))*"
_SIGNATURE = re.compile(rf"{_SPACE}\bvoid\b{_SPACE}\b(\w+)\s*\(")
_TEMPLATE_BEFORE = re.compile(r"\btemplate\s*<[^;{}]*>\s*(?:static\s+|inline\s+)*$")


def translate(text: str, name: str, key: str = "") -> Unit:
    """Preprocessed CUDA C++ as C++ for the host: finds the kernels, gives shared memory a place."""
    assembly = _ASSEMBLY.search(text)
    if assembly:
        line = text[assembly.start() :].split("\n", 1)[0].strip()
        raise RuntimeError(
            f"compiling {name} for the CUDA simulator failed: it has inline PTX, which only a GPU runs ({line[:80]!r}); "
            "give another way under #ifdef GG_SIMULATOR"
        )
    text, bounds = _take_launch_bounds(text)
    kernels: dict[str, str] = {}
    for match in _KERNEL.finditer(text):
        if _TEMPLATE_BEFORE.search(text, max(0, match.start() - 400), match.start()):
            continue
        head = text[match.end() : match.end() + 400]
        signature = _SIGNATURE.match(head)
        if signature:
            mark = _BOUND_MARK.search(head, 0, signature.end())
            kernels.setdefault(signature[1], bounds[int(mark[1])] if mark else "1024")
    text = _BOUND_MARK.sub(" ", _KERNEL.sub("", text))
    text = _EXTERN_SHARED.sub(functools.partial(_dynamic, text), text)
    numbers = itertools.count()
    text = _SHARED.sub(lambda _: f"SIM_SHARED({next(numbers)})", text)
    return Unit(text, kernels, next(numbers), name, key)


def _take_launch_bounds(text: str) -> tuple[str, list[str]]:
    """The text with a mark in place of each __launch_bounds__(threads, …), and the numbers of threads."""
    parts: list[str] = []
    bounds: list[str] = []
    at = 0
    for match in _BOUNDS.finditer(text):
        depth, end, first_end = 1, match.end(), 0
        while depth:
            c = text[end]
            depth += (c == "(") - (c == ")")
            if not first_end and ((c == "," and depth == 1) or depth == 0):
                first_end = end
            end += 1
        parts += [text[at : match.start()], f"/*bounds {len(bounds)}*/"]
        bounds.append(text[match.end() : first_end])
        at = end
    return "".join([*parts, text[at:]]), bounds


def _dynamic(text: str, match: re.Match) -> str:
    """`extern __shared__ T name[];`: a pointer inside of a function, an object that acts as one outside."""
    kind, name = match[1], match[2]
    before = re.sub(r'extern\s+"C"\s*\{|\bnamespace\s*\w*\s*\{', " ", text[: match.start()])
    if before.count("{") > before.count("}"):
        return f"{kind}* {name} = reinterpret_cast<{kind}*>(sim_state.dynamic_shared);"
    return f"static const SimDynamicShared<{kind}> {name};"


def source_line(pc: int) -> tuple[str, int] | None:
    """(file, line) of an address in a compiled module, from its debug information."""
    offset = ctypes.c_size_t()
    lib = runtime()
    lib.sim_library_of.restype = ctypes.c_char_p
    path = lib.sim_library_of(ctypes.c_size_t(pc), ctypes.byref(offset))
    tool = shutil.which("addr2line") or shutil.which("llvm-addr2line")
    if path is None or tool is None:
        return None
    done = subprocess.run(
        [tool, "-i", "-e", path.decode(), hex(offset.value)], capture_output=True, text=True, check=False
    )
    for line in done.stdout.splitlines():
        file, _, number = line.split(" (")[0].rpartition(":")
        if number.isdigit() and not file.startswith(str(HOST)):
            return file.rpartition("/")[2], int(number)
    return None
