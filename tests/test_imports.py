"""What importing archlab costs, and which way its imports go. Each import is a process of its own."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile
from pathlib import Path

import pytest

import archlab
from archlab.cli.app import COMMANDS

ROOT = Path(__file__).parent.parent
HEAVY = {
    *("torch", "torchvision", "numpy", "pandas", "plotly", "sklearn", "scipy", "timm", "torchinfo"),
    *("transformers", "diffusers", "huggingface_hub"),
}


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


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported(path: Path, *, types: bool = True) -> set[str]:
    """The modules that a file imports, wherever in it, those by name too (`import_module("archlab.tables")`).

    `from archlab.tables import columns, html` imports `archlab.tables.columns` and, for the function, `archlab.tables`.
    What is imported under `if TYPE_CHECKING:`, for annotations alone, counts where `types` says so.
    """
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
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if is_module(name)}
            found |= modules | ({str(node.module)} if names - modules else set())
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {str(name.value) for name in node.args if isinstance(name, ast.Constant)}
    return found


def within(names: set[str], package: str) -> set[str]:
    return {name for name in names if name == package or name.startswith(package + ".")}


def rooms() -> dict[str, tuple[Path, set[str]]]:
    """Room -> its folder or file, and what it may import: the table of ARCHITECTURE.md."""
    lines = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()
    rows = takewhile(lambda line: line.startswith("|"), lines[lines.index(HEADING) + 2 :])
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    paths = [ROOT / cell[0].strip("`/") for cell in cells]
    everything = {path.stem for path in paths} | {"torch"}
    words: dict[str, set[str]] = {"nothing": set(), "everything": everything}
    return {
        path.stem: (path, words.get(cell[2], set(cell[2].split(", ")))) for path, cell in zip(paths, cells, strict=True)
    }


HEADING = "| folder | what it holds | may import |"
ROOMS = rooms()


FRONT = {ROOT / "archlab" / "records" / "display.py"}
"""Files that may ask `archlab/__init__.py` for what lies in another room: a record for what draws it."""


def room_of(module: str) -> str:
    """`records` for `archlab.records.run`, `torch` for `torch.nn`; empty for what is no room."""
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == "archlab" else first if first == "torch" else ""


def part_of(module: str, room: str) -> str:
    """`costs` for `archlab.tracing.costs.aten` in `tracing`, `__init__` for the room itself; empty outside of it."""
    names = module.split(".")
    return "" if names[:2] != ["archlab", room] else names[2] if len(names) > 2 else "__init__"


def sources(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def assert_no_cycle(graph: dict[str, set[str]]) -> None:
    tuple(TopologicalSorter({name: others - {name, ""} for name, others in graph.items()}).static_order())


def test_the_table_of_rooms_names_every_folder_and_file_and_no_other_word() -> None:
    inside = {
        path.stem for path in (ROOT / "archlab").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert inside - {"__init__"} == set(ROOMS)
    assert all(allowed <= {*ROOMS, "torch"} for _, allowed in ROOMS.values())


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_the_table_lets_it(room: str) -> None:
    path, allowed = ROOMS[room]
    for file in sources(path):
        names = imported(file)
        assert file in FRONT or "\nimport archlab\n" not in file.read_text(), f"{file} can reach every room"
        found = {room_of(name) for name in names} - {"", room}
        assert found <= allowed, file


def test_no_import_goes_round_the_rooms_in_a_circle() -> None:
    assert_no_cycle(
        {
            room: {room_of(name) for file in sources(path) for name in imported(file, types=False)}
            for room, (path, _) in ROOMS.items()
        }
    )


@pytest.mark.parametrize("room", [room for room, (path, _) in ROOMS.items() if path.is_dir()])
def test_no_import_goes_round_in_a_circle_within_a_room(room: str) -> None:
    """Between its sub-folders and its files at the top; inside, nothing is imported by way of its own `__init__`."""
    graph: dict[str, set[str]] = {}
    for file in sources(ROOMS[room][0]):
        part = file.relative_to(ROOMS[room][0]).parts[0].removesuffix(".py")
        graph.setdefault(part, set()).update(part_of(name, room) for name in imported(file, types=False))
    assert_no_cycle(graph)


def test_the_guards_see_imports_in_functions_and_by_name(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(
        "if TYPE_CHECKING:\n    from archlab.store import Store\n"
        "def late():\n    from archlab.tables import columns, html\n    import_module('archlab.analysis.diff')\n"
    )
    late = {"archlab.tables", "archlab.tables.columns", "archlab.analysis.diff"}
    assert imported(file, types=False) == late
    assert imported(file) == late | {"archlab.store"}
    with pytest.raises(CycleError):
        assert_no_cycle({"records": {"tables", ""}, "tables": {"records", "tables"}})


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
