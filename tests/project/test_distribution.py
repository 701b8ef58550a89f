"""The wheel and the sdist are whole: what is installed from the wheel works without the repository."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a wheel, made from the sdist as an index would have it."""
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, REPOSITORY],
        check=True,
        capture_output=True,
        timeout=100,
    )
    return directory


def files_of_the_package() -> set[str]:
    package = REPOSITORY / "src" / "heracles"
    return {
        str(path.relative_to(REPOSITORY / "src"))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_has_every_file(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name.startswith("heracles_jobs-")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name for name in names if name.startswith("heracles/")} == files_of_the_package()
    assert "heracles/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_sdist_has_what_a_build_needs(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert {f"src/{name}" for name in files_of_the_package()} <= names


def test_installed_from_the_wheel_it_runs(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    site = tmp_path / "site"
    # What it needs is installed already; the test is about the package's own files.
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(install, check=True, timeout=100)
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio\n"
        "import heracles\n"
        f"assert heracles.__file__.startswith({str(site)!r})\n"
        "from heracles import SqliteTransport, Queue, Worker, job\n"
        "@job(queue='sums')\n"
        "async def add(a: int, b: int) -> int:\n"
        "    return a + b\n"
        "async def main() -> None:\n"
        "    store = SqliteTransport(path=':memory:')\n"
        "    queue = Queue.get('sums', transport=store)\n"
        "    async with Worker(id='w', transport=store) as worker:\n"
        "        await worker.create_queue(name='sums')\n"
        "        await worker.start()\n"
        "        handle = await queue.dispatch(add, [2, 3])\n"
        "        print(await handle.result(timeout=10))\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, program], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "5\n"
    version = subprocess.run(
        [sys.executable, "-m", "heracles", "--version"],
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert version.stdout.startswith("heracles ")
