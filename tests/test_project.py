"""The project itself: style, types, and what the README promises about its commands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import archlab

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["ruff check", "ruff format", "mypy"],
)
def test_the_checkout_passes(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    commands = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands[1] in (ROOT / ".ci" / "run").read_text()


def test_the_version_stands_in_one_form_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == archlab.__version__
    assert f"## {archlab.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_path_that_the_architecture_names_exists() -> None:
    text = re.sub(r"```.*?```", "", (ROOT / "ARCHITECTURE.md").read_text(), flags=re.DOTALL)
    named = [path for path in re.findall(r"`([\w.*/-]+)`", text) if "/" in path or path.endswith(".py")]
    assert len(named) > 20
    assert [path for path in named if not any(ROOT.glob(path))] == []


def test_every_package_is_installed() -> None:
    """A folder that pyproject.toml forgets works in the checkout and is missing from the wheel."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    homes = {"archlab.cli": "cli", "archlab.reports": "reports"}
    found = {
        ".".join(["archlab", *path.parent.relative_to(ROOT / "archlab").parts])
        for path in (ROOT / "archlab").rglob("__init__.py")
    }
    for package, folder in homes.items():
        found |= {
            ".".join([package, *path.parent.relative_to(ROOT / folder).parts])
            for path in (ROOT / folder).rglob("__init__.py")
        }
    assert found == set(listed)


def test_files_functions_and_rooms_stay_small() -> None:
    """400 lines per file, 12 parameters per function of the library, 12 entries in `tracing`, the largest room."""
    links = {ROOT / "archlab" / "cli", ROOT / "archlab" / "reports"}
    files = [
        path
        for folder in ("archlab", "cli", "reports")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not links & set(path.parents)
    ]
    assert [path for path in files if len(path.read_text().splitlines()) > 400] == []
    crowded = [
        f"{path.name}:{node.name}"
        for path in files
        if (ROOT / "cli") not in path.parents  # there, a parameter is an option
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and len({item.arg for item in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)} - {"self"}) > 12
    ]
    assert crowded == []
    tracing = [path.name for path in (ROOT / "archlab" / "tracing").iterdir() if path.name != "__pycache__"]
    assert len(tracing) <= 12
