"""What is installed is the whole library: kernels, headers, types; and it runs with numpy alone."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="building the wheel needs gradgpu[test]")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = out.glob("gradgpu-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked into a folder, as an installer would."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def python(site: Path, code: str, **env: str) -> str:
    """Runs code with `site` first on the path and nothing else of the project in reach."""
    code = f"import sys; sys.path = [{str(site)!r}] + [p for p in sys.path if p not in ('', {str(ROOT)!r})]\n{code}"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=site,
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": "", **env},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_wheel_holds_every_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    kernels = {
        f"gradgpu/kernels/{p.name}" for p in (ROOT / "kernels").iterdir() if p.suffix in (".cu", ".cuh")
    }
    package = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "gradgpu").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert kernels
    assert "gradgpu/py.typed" in package
    assert kernels | package <= names
    assert not [n for n in names if n.startswith(("tests/", "notebooks/", "docs/", "kernels/"))]


def test_wheel_is_small(installed: Path) -> None:
    """Source and kernels, uncompressed: beside numpy a CPU-only install is this, and 1.8 MB of ml_dtypes."""
    size = sum(p.stat().st_size for p in installed.rglob("*") if p.is_file())
    assert size < 4_000_000


def test_wheel_needs_numpy_and_ml_dtypes_only(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    required = [
        line.split(":", 1)[1].strip()
        for line in archive.read(metadata).decode().splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert sorted(r.split(">")[0].strip() for r in required) == ["ml-dtypes", "numpy"]


def test_import_loads_nothing_but_numpy(installed: Path) -> None:
    code = """
import gradgpu as gg
assert gg.__file__.startswith(sys.path[0]), gg.__file__
x = gg.tensor([2.0, 3.0, 4.0], requires_grad=True)
(3 * x + 2).backward(gg.tensor([1.0, 1.0, 1.0]))
assert x.grad.tolist() == [3.0, 3.0, 3.0]
print([m for m in ("cupy", "ml_dtypes", "matplotlib", "sklearn", "torch", "tqdm", "scipy") if m in sys.modules])
"""
    assert python(installed, code, GRADGPU_CUDASIM="") == "[]"


def test_installed_kernels_are_found(installed: Path, tmp_path: Path) -> None:
    code = """
from pathlib import Path
from gradgpu.cuda import compile
folder = Path(compile.KERNELS_DIR)
assert folder == Path(sys.path[0], "gradgpu", "kernels"), folder
print((folder / "common.cuh").is_file())
"""
    assert python(installed, code) == "True"


@pytest.mark.cuda
def test_installed_package_computes_on_cuda(installed: Path) -> None:
    code = """
import gradgpu as gg
x = gg.tensor([2.0, 3.0, 4.0], requires_grad=True, device="cuda")
(3 * x + 2).sum().backward()
print(x.grad.tolist(), x.grad.device)
"""
    assert python(installed, code) == "[3.0, 3.0, 3.0] cuda:0"


@pytest.mark.slow
def test_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """`pip install gradgpu` into an empty environment: numpy and ml_dtypes come along, and a net trains."""
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([binaries / "python", "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    code = """
import gradgpu as gg
gg.manual_seed(0)
net = gg.nn.Sequential(gg.nn.Linear(4, 8), gg.nn.ReLU(), gg.nn.Linear(8, 1))
optimizer = gg.optim.Adam(net.parameters(), lr=0.05)
x = gg.randn(64, 4)
for step in range(100):
    optimizer.zero_grad()
    loss = gg.nn.MSELoss()(net(x), x.sum(dim=1, keepdim=True))
    loss.backward()
    optimizer.step()
print(loss.item() < 0.1)
"""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "GRADGPU_CUDASIM")}
    result = subprocess.run(
        [binaries / "python", "-c", code], cwd=tmp_path, env=env, text=True, capture_output=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "True"
