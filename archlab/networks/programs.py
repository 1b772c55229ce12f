"""What a file of `torch.export` may hold, so that reading it runs nothing but tensor operations.

torch reads such a file by means that run code: pickles without restrictions (the sample inputs, some tensors, objects),
names of functions that are looked up from the module `torch` on (`torch.os.system` is one), expressions of sizes that
SymPy evaluates as Python, and guards that become Python code. So a file is looked through first, and refused if it has
anything in it that an export of a network has no need of.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from archlab.errors import UntrustedError

LIBRARIES = frozenset(
    {"aten", "prims", "prim", "quantized", "quantized_decomposed", "torchvision", "inductor", "mkldnn", "sparse"}
)
"""Namespaces of `torch.ops` that hold tensor operations. (`torch.ops.load_library` loads a library.)"""
CONTROL = frozenset(
    {
        "associative_scan", "cond", "flex_attention", "flex_attention_backward", "map_impl", "scan",
        "wrap_with_autocast", "wrap_with_set_grad_enabled", "while_loop",
    }
)  # fmt: skip
"""Of `torch.ops.higher_order`."""
ARITHMETIC = frozenset(
    {
        "abs", "add", "and_", "eq", "floordiv", "ge", "getitem", "gt", "invert", "is_", "is_not", "le", "lshift", "lt",
        "mod", "mul", "ne", "neg", "not_", "or_", "pos", "pow", "rshift", "sub", "truediv", "truth", "xor",
    }
)  # fmt: skip
"""Of Python's `operator`."""
_FUNCTION = re.compile(r"torch\.(_?sym_\w+|_check\w*)|math\.\w+")
_CALLED = frozenset({"size", "stride", "storage_offset", "dim", "numel"})
"""What a guard may ask a tensor."""


def refuse_program(path: Path) -> None:
    """Refuse a file of `torch.export` in which there is more than tensors and tensor operations.

    Raises:
        UntrustedError: there is, with what it is.
        zipfile.BadZipFile, ValueError: it is no such file.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if reason := _danger(archive, member):
                raise UntrustedError(
                    f"{path} holds {reason}, which an export of a network needs not and which could run anything when "
                    "it is loaded. If you know who wrote it: load it by torch.export.load in a function of a file of "
                    "your own, and name FILE.py:FUNCTION"
                )


def _danger(archive: zipfile.ZipFile, member: str) -> str:
    content = archive.read(member)
    if member.endswith(".json"):
        return next(_found(json.loads(content)), "")
    if content[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or member.endswith(".pt"):
        try:
            torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception:  # raw bytes of a tensor may begin so, and are then no pickle either
            if member.endswith(".pt") or "sample_inputs" in member or not _is_raw(archive, member):
                return f"a pickle with more in it than tensors ({member})"
    return ""


def _is_raw(archive: zipfile.ZipFile, member: str) -> bool:
    """Whether the archive's own tables have a member as the bytes of a tensor, and not as a pickle."""
    for table in archive.namelist():
        if table.endswith("_config.json"):
            entries = json.loads(archive.read(table)).get("config", {}).values()
            if any(member.endswith(f"/{one.get('path_name')}") and not one.get("use_pickle") for one in entries):
                return True
    return False


def _found(document: Any) -> Iterator[str]:
    """What is wrong with a JSON document of the archive."""
    if isinstance(document, list):
        for item in document:
            yield from _found(item)
    if not isinstance(document, dict):
        return
    for key, value in document.items():
        if key in ("target", "as_operator") and isinstance(value, str) and not _is_operation(value):
            yield f"the function {value[:80]!r}"
        elif key == "expr_str" and not _is_size(str(value)):
            yield f"the expression {str(value)[:80]!r}"
        elif key == "guards_code" and not all(_is_guard(str(guard)) for guard in value or ()):
            yield f"the code {str(value)[:80]!r}"
        elif key == "path_name" and "custom_obj" in str(value):
            yield f"an object ({value})"
        elif key == "as_custom_obj" and value is not None:
            yield "an object"
        yield from _found(value)


def _is_operation(name: str) -> bool:
    library, _, rest = name.removeprefix("torch.ops.").partition(".")
    if name.startswith("torch.ops."):
        words = rest.split(".")
        known = library in LIBRARIES or (library == "higher_order" and words[0] in CONTROL)
        return known and len(words) <= 2 and all(word.isidentifier() for word in words)
    if name.startswith("_operator."):
        return rest in ARITHMETIC or name.partition(".")[2] in ARITHMETIC
    return _FUNCTION.fullmatch(name) is not None or re.match(r"torch|math|_operator|#", name) is None


def _is_size(text: str) -> bool:
    """Whether an expression is arithmetic over symbols, in SymPy's words.

    >>> _is_size("Add(Mul(Integer(2), Symbol('s7', positive=True)), Integer(1))"), _is_size("().__class__")
    (True, False)
    """
    return _is_made_of(text, _is_part_of_size)


def _is_part_of_size(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        is_named = isinstance(node.func, ast.Name) and re.fullmatch(r"[A-Z][A-Za-z]*|floor|ceiling", node.func.id)
        return bool(is_named)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) or (isinstance(node.value, str) and node.value.isidentifier())
    return isinstance(node, (ast.Name, ast.keyword, *_ARITHMETIC_NODES))


def _is_guard(text: str) -> bool:
    return _is_made_of(text, _is_part_of_guard)


def _is_part_of_guard(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and not node.args and not node.keywords
    if isinstance(node, ast.Attribute):
        return node.attr in _CALLED
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float | str)
    return isinstance(node, (ast.Name, ast.Subscript, ast.BoolOp, ast.boolop, *_ARITHMETIC_NODES))


_ARITHMETIC_NODES = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.operator, ast.unaryop, ast.cmpop, ast.expr_context
)  # fmt: skip


def _is_made_of(text: str, is_allowed: Any) -> bool:
    try:
        return all(is_allowed(node) for node in ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
