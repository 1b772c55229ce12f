"""What importing archlab costs, and which way its imports go. Each import is a process of its own."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import archlab
from archlab.cli.app import COMMANDS

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "torchvision", "numpy", "pandas", "plotly", "sklearn", "scipy", "timm", "torchinfo"}


def modules_after(statement: str) -> set[str]:
    """The names of all modules that a fresh interpreter holds after a statement."""
    program = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_archlab_alone_is_light() -> None:
    loaded = modules_after("import archlab")
    assert not loaded & (HEAVY | {"typer", "rich", "archlab.cli", "archlab.reports", "cli", "reports"})
    assert {name for name in loaded if name.startswith("archlab")} == {"archlab"}


def test_the_command_line_knows_its_folders_by_their_installed_names_alone() -> None:
    loaded = modules_after("import archlab.cli.app")
    assert not loaded & (HEAVY | {"cli", "reports", "archlab.reports", "rich"})


def test_help_needs_neither_torch_nor_rich() -> None:
    statement = (
        "from archlab.cli.app import main\ntry:\n    main()\nexcept SystemExit as done:\n    assert done.code == 0"
    )
    loaded = modules_after(f"sys.argv = ['archlab', '--help']\n{statement}")
    assert not loaded & (HEAVY | {"rich", "archlab.reports", "archlab.networks", "archlab.tracing"})


def test_one_command_is_imported_and_not_the_others() -> None:
    statement = "from archlab.cli.app import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
    loaded = modules_after(f"sys.argv = ['archlab', 'shapes', '--help']\n{statement}")
    assert {name for name in COMMANDS if f"archlab.cli.{name}" in loaded} == {"shapes"}


@pytest.mark.parametrize("module", ["archlab.records", "archlab.analysis", "archlab.tables", "archlab.store"])
def test_what_is_torch_free_stays_so(module: str) -> None:
    assert not modules_after(f"import {module}") & {"torch", "typer", "rich", "archlab.cli", "archlab.reports"}


def test_every_file_of_records_analysis_tables_and_reports_imports_without_torch() -> None:
    folders = {
        "archlab.records": "archlab/records",
        "archlab.analysis": "archlab/analysis",
        "archlab.tables": "archlab/tables",
    }
    folders["archlab.reports"] = "reports"
    names = [
        ".".join([package, *path.relative_to(ROOT / folder).with_suffix("").parts]).removesuffix(".__init__")
        for package, folder in folders.items()
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    assert len(names) > 20
    assert "torch" not in modules_after("\n".join(f"import {name}" for name in names))


@pytest.mark.parametrize("name", archlab.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(archlab, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'archlab' has no attribute 'trcae'"):
        archlab.trcae  # noqa: B018


def imported(path: Path, *, types: bool = True) -> set[str]:
    """The modules that a file imports, wherever in it; those for annotations alone only where `types` says so."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not types:
        tree.body = [
            node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(names: set[str], *packages: str) -> set[str]:
    return {name for name in names if any(name == package or name.startswith(package + ".") for package in packages)}


RULES = [
    ("archlab", ("archlab.cli", "archlab.reports")),
    ("archlab/records", ("archlab.networks", "archlab.tracing", "archlab.training", "archlab.store")),
    (
        "archlab/analysis",
        ("archlab.networks", "archlab.tracing", "archlab.training", "archlab.store", "archlab.tables"),
    ),
    ("archlab/tables", ("archlab.networks", "archlab.tracing", "archlab.training", "archlab.store")),
    (
        "archlab/networks",
        ("archlab.tracing", "archlab.training", "archlab.analysis", "archlab.store", "archlab.tables"),
    ),
    ("archlab/tracing", ("archlab.training", "archlab.analysis", "archlab.store", "archlab.tables")),
    ("archlab/training", ("archlab.tracing", "archlab.tables")),
    ("reports", ("archlab.cli", "torch", "archlab.networks", "archlab.tracing", "archlab.training")),
]


@pytest.mark.parametrize(("folder", "forbidden"), RULES, ids=[folder for folder, _ in RULES])
def test_imports_go_one_way(folder: str, forbidden: tuple[str, ...]) -> None:
    links = {ROOT / "archlab" / "cli", ROOT / "archlab" / "reports"}
    for path in sorted((ROOT / folder).rglob("*.py")):
        if not links & set(path.parents) and path != ROOT / "archlab" / "__init__.py":
            assert not within(imported(path), *forbidden), path


def test_rich_is_loaded_by_the_console_alone() -> None:
    files = [path for folder in ("archlab", "cli", "reports") for path in (ROOT / folder).rglob("*.py")]
    assert {path.name for path in files if within(imported(path, types=False), "rich")} == {"console.py"}


def test_ruff_holds_the_rules_of_imports() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("import torch\n", "TID253"),
        ("import plotly.express\n", "TID253"),
        ("import cli\n", "TID251"),
        ("from reports import page\n", "TID251"),
        ("from . import errors\n", "TID252"),
    ],
)
def test_ruff_refuses_what_the_rules_forbid(source: str, code: str) -> None:
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--select",
        "TID",
        "--stdin-filename",
        "archlab/records/new.py",
        "-",
    ]
    done = subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert code in done.stdout
