"""The wheel and the sdist: what users install is what the checkout holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def call(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with archlab alone, from the wheel that is built from the sdist; its needs are those of the tests."""
    pytest.importorskip("build", reason="build is not installed: pip install 'archlab[test]'")
    folder = tmp_path_factory.mktemp("packaging")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("the checkout is no git repository, and an sdist would hold whatever lies in it")
    source = folder / "source"
    for name in filter(None, listed.stdout.split("\0")):
        path, target = ROOT / name, source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(path.readlink())
        elif path.exists():
            target.write_bytes(path.read_bytes())
    call("-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), cwd=source)
    (wheel,) = (folder / "dist").glob("*.whl")
    target = folder / "installed"
    call("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel), cwd=folder)
    return target


def test_the_wheel_from_the_sdist_runs_without_the_checkout(installed: Path) -> None:
    place = "import archlab.cli.app as app, sys; print(app.__file__, {'cli', 'reports'} & set(sys.modules))"
    told = call("-c", place, cwd=installed.parent, PYTHONPATH=str(installed))
    assert told.split() == [str(installed / "archlab" / "cli" / "app.py"), "set()"]
    command = "import sys; sys.argv[0] = 'archlab'; from archlab.cli.app import main; main()"
    table = call("-c", command, "shapes", "lenet", cwd=installed.parent, PYTHONPATH=str(installed))
    assert "281,640" in table


def test_a_page_is_written_from_the_wheel_with_its_templates_and_scripts(installed: Path) -> None:
    command = "import sys; sys.argv[0] = 'archlab'; from archlab.cli.app import main; main()"
    call("-c", command, "report", "lenet", "-o", "page.html", cwd=installed.parent, PYTHONPATH=str(installed))
    assert (installed.parent / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_wheel_holds_no_tests_and_no_bare_folders(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} <= {"archlab", "bin"}
