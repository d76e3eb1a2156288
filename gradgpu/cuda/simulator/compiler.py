"""From the text of a CUDA module to a library for the host: preprocess, translate a few words, compile, cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HOST = Path(__file__).resolve().parent / "host"
_RUNTIME = ("memory.cpp", "threads.cpp", "launch.cpp", "checks.cpp")

# -ffp-contract=off: a product and a sum are rounded one by one, so that results do not depend on the compiler.
# -fno-strict-aliasing, -fwrapv: the device compiler promises both.
_FLAGS = (
    "-std=c++17 -O1 -g1 -fPIC -fvisibility=hidden -w -nostdinc -fno-exceptions -fno-rtti -fno-threadsafe-statics "
    "-fno-stack-protector -U_FORTIFY_SOURCE -fno-strict-aliasing -fwrapv -fno-math-errno -fno-trapping-math "
    "-ffp-contract=off"
).split()
_FAST = ["-fsanitize=alignment,bounds"]
_CHECKED = ["-fsanitize=alignment,bounds,thread", "-DSIM_CHECKED"]


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
    digest = hashlib.sha256(f"{compiler} {stat.st_size} {stat.st_mtime_ns} {_FLAGS} {_FAST} {_CHECKED}".encode())
    for file in sorted([Path(__file__), *HOST.rglob("*.h"), *HOST.rglob("*.cpp")]):
        digest.update(file.read_bytes())
    return digest.digest()


def _run(arguments: list[str], text: str, what: str) -> str:
    done = subprocess.run([host_compiler(), *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        shown = "\n".join(lines[:40]) + ("\n…" if len(lines) > 40 else "")
        raise RuntimeError(f"compiling {what} for the CUDA simulator failed:\n{shown}")
    return done.stdout


def _build(key: str, make: list[str], text: str, what: str) -> Path:
    """The library made from `text`, from the cache if it is there. Processes may build the same at the same time."""
    target = cache_dir() / key[:2] / f"{key[2:34]}.so"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(suffix=".so", dir=target.parent)
    os.close(handle)
    try:
        _run([*make, "-o", temporary], text, what)
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
    key = hashlib.sha256(b"runtime" + _version()).hexdigest()
    libraries = ["-Wl,--no-as-needed", "-lm", "-ldl"]
    path = _build(key, [*flags, *sources, *libraries], "", "its runtime")
    return ctypes.PyDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def build(source: str, name: str, checked: bool = False) -> Path:
    """The library of a CUDA source text.

    Args:
        source: the text, its own headers in place.
        name: the name that messages give to the text.
        checked: every load and store calls the runtime first.
    """
    key = hashlib.sha256(b"%d" % checked + _version() + name.encode() + b"\0" + source.encode()).hexdigest()
    target = cache_dir() / key[:2] / f"{key[2:34]}.so"
    if target.exists():
        return target
    text = translate(preprocess(source, name))
    mode = _CHECKED if checked else _FAST
    make = [*_FLAGS, *mode, "-shared", "-nostdlib", "-I", str(HOST), "-x", "c++", "-"]
    return _build(key, make, text, name)


def build_all(sources: Iterable[tuple[str, str]], jobs: int | None = None) -> None:
    """Builds each (source, name), several at a time."""
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        for job in [pool.submit(build, source, name) for source, name in sources]:
            job.result()


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
_BOUNDS = re.compile(r"\b__launch_bounds__\s*\(")
_SIGNATURE = re.compile(r"\s*(?:static\s+|inline\s+|__attribute__\s*\(\(\w+\)\)\s*)*void\s+(\w+)\s*\(")
_TEMPLATE_BEFORE = re.compile(r"\btemplate\s*<[^;{}]*>\s*(?:static\s+|inline\s+)*$")


def translate(text: str) -> str:
    """Preprocessed CUDA C++ as C++ for the host, with a table of its kernels at the end."""
    text, bounds = _take_launch_bounds(text)
    kernels: dict[str, str] = {}
    for match in _KERNEL.finditer(text):
        if _TEMPLATE_BEFORE.search(text, max(0, match.start() - 400), match.start()):
            continue
        signature = _SIGNATURE.match(_BOUND_MARK.sub(" ", text[match.end() : match.end() + 400]))
        mark = _BOUND_MARK.search(text, match.end(), match.end() + 400)
        if signature:
            bound = bounds[int(mark[1])] if mark and mark.start() < match.end() + signature.end() + 40 else "1024"
            kernels.setdefault(signature[1], bound)
    text = _BOUND_MARK.sub(" ", _KERNEL.sub("", text))
    text = _EXTERN_SHARED.sub(functools.partial(_dynamic, text), text)
    count = 0

    def own_section(_: re.Match) -> str:
        nonlocal count
        count += 1
        return f"SIM_SHARED({count - 1})"

    text = _SHARED.sub(own_section, text)
    ranges = "".join(f"SIM_SHARED_RANGE({i})\n" for i in range(count))
    table = ", ".join(f"SIM_KERNEL({name}, unsigned({bound}))" for name, bound in kernels.items())
    shared = ", ".join(f"{{__start_sim_shared_{i}, __stop_sim_shared_{i}}}" for i in range(count))
    return (
        f'#include "cuda_on_host.h"\n{text}\n# 1 "table of kernels"\n{ranges}'
        f"static const SimKernel sim_kernels[] = {{ {table or '{}'} }};\n"
        f"static const SimRange sim_shared[] = {{ {shared or '{}'} }};\n"
        'extern "C" __attribute__((visibility("default"))) const SimModule sim_module = '
        f"{{sim_kernels, {len(kernels)}, sim_shared, {count}}};\n"
    )


_BOUND_MARK = re.compile(r"/\*bounds (\d+)\*/")


def _take_launch_bounds(text: str) -> tuple[str, list[str]]:
    """The text with a mark in place of each __launch_bounds__(threads, …), and the numbers of threads."""
    parts, bounds, at = [], [], 0
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
