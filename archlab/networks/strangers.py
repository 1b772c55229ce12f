"""Somebody else's code in this process: what it raises is told in words, what it changes is put back.

A file, a factory or a forward pass may end the program (`sys.exit(0)` in a script that was meant to be run), raise what
is no `Exception`, give a message of a megabyte, change the default dtype, the working folder or the random state. A
caller that checks a network must not take any of that for a result, nor go on in a process that has changed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from archlab.errors import ArchlabError, InputError, cut
from archlab.networks.members import named_modules

LONGEST, MOST_LINES = 1_000, 5
"""Characters and lines of somebody's message that are shown."""
_CONTROL = re.compile(
    r"\x1b\[[0-9;]*[a-zA-Z]|[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""Colours and other commands of terminals, blanks other than the usual one, controls, marks that turn text round."""


class EndedError(Exception):
    """Somebody's code raised what is no `Exception`, which would have ended the program."""


def words(error: BaseException) -> str:
    r"""The message of an error, as it can be printed: no control characters, `LONGEST` in `MOST_LINES` at most.

    >>> words(ValueError("a\x1b[31mb\tc")), words(KeyError())
    ('ab c', '')
    """
    try:
        text = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # of an error whose message can't be made, or ends the program
        return "(its message can't be shown)"
    kept = text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"
    *_, rest = lines = kept.split("\n", MOST_LINES)
    if len(lines) > MOST_LINES:
        kept = "\n".join([*lines[:-1], f"... ({rest.count(chr(10)) + 1:,} more lines)"])
    return _CONTROL.sub(lambda found: "" if found[0].startswith("\x1b[") else " ", kept)


def described(error: BaseException) -> str:
    """An error's class and message.

    >>> described(ValueError("no luck")), described(ValueError())
    ('ValueError: no luck', 'ValueError')
    """
    if isinstance(error, EndedError) and error.__cause__ is not None:
        return f"{described(error.__cause__)} (which would have ended the program)"
    message = words(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@contextmanager
def contained() -> Iterator[None]:
    """A context in which somebody's code runs, and out of which it raises an `Exception` or nothing.

    Ctrl-C stays what it is. What the code has put on torch's stacks of modes and hooks, and left there, is taken off:
    it would be in the way of those below.

    Raises:
        EndedError: it raised `SystemExit`, another child of `BaseException`, or called `os._exit`.
    """
    kept, own = os._exit, os.getpid()

    def refuse(status: int = 0) -> NoReturn:
        if os.getpid() != own:  # a copy of this process, which shall end
            kept(status)
        raise SystemExit(status)

    os._exit = refuse
    lengths = [length() for length, _ in _STACKS]
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise EndedError(words(error)) from error
    finally:
        os._exit = kept
        for (length, pop), before in zip(_STACKS, lengths, strict=True):
            while length() > before:
                pop()


@contextmanager
def telling(what: str, *passing: type[Exception]) -> Iterator[None]:
    """A context in which a network is looked at that may answer anything, out of which one message comes.

    Args:
        what: can't be done, as the beginning of the message: "net.py:Net can't be traced".
        passing: errors that go through.

    Raises:
        InputError: what was raised in it, and where.
    """
    try:
        with contained():
            yield
    except Exception as error:
        if isinstance(error, (ArchlabError, *passing)):
            raise
        raised = error.__cause__ if isinstance(error, EndedError) and error.__cause__ is not None else error
        places = [place for place in traceback.extract_tb(raised.__traceback__) if place.filename != __file__]
        line = f" ({Path(places[-1].filename).name}, line {places[-1].lineno})" if places else ""
        raise InputError(f"{what}: {described(error)}{line}") from error


def module_of(error: BaseException, network: nn.Module) -> str:
    """Which module of a network raised an error, and its class, as ` in blocks.0 (Conv2d)`; empty where none did."""
    raised = error.__cause__ if isinstance(error, EndedError) and error.__cause__ is not None else error
    paths = {id(module): path for path, module in named_modules(network)}
    found = ""
    for frame, _ in traceback.walk_tb(raised.__traceback__):
        module = frame.f_locals.get("self")
        if path := paths.get(id(module)):
            found = f" in {cut(path, 100)} ({type(module).__name__})"
    return found


@contextmanager
def remembered(settings: list[Callable[[], None]]) -> Iterator[None]:
    """A context after which a list has a call for each setting of torch that was changed in it, which makes it again.

    A file may set the default dtype for the network that it builds: so it does when it isn't read a second time.
    """
    before = [(get, get(), put) for get, put in _SETTINGS]
    try:
        yield
    finally:
        settings += [partial(put, get()) for get, value, put in before if get() != value]


@contextmanager
def settings_kept() -> Iterator[None]:
    """A context after which the default dtype, device and the like are what they were before: for what comes next."""
    before = [(get, get(), put) for get, put in _SETTINGS]
    try:
        yield
    finally:
        for get, value, put in before:
            if get() != value:
                put(value)


_depth = threading.local()


@contextmanager
def left_as_found(*, draws: bool = False) -> Iterator[None]:
    """A context after which the process is as it was before, whatever somebody's code did in it, also on an error.

    Within another such context it does nothing: what a file sets when it is read holds for the network that it builds.

    Args:
        draws: whether numbers may be drawn from the global generators, which then stay where they are.
    """
    if getattr(_depth, "is_inside", False):
        yield
        return
    _depth.is_inside = True
    held = [(put, get()) for get, put in _states(draws)]
    try:
        yield
    finally:
        _depth.is_inside = False
        for put, value in held:
            with contextlib.suppress(Exception):
                put(value)


def _states(draws: bool) -> list[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """How each part of the process's state is read, and put back where it has changed."""
    numpy: Any = sys.modules.get("numpy")
    states: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
        *_SETTINGS,
        (torch.get_num_threads, _changed(torch.get_num_threads, torch.set_num_threads)),
        (_folder, _changed(_folder, os.chdir)),
        (lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
        (_environment, _put_environment),
        (lambda: list(warnings.filters), _put_filters),
        (lambda: (sys.stdout, sys.stderr, sys.excepthook), _put_streams),
        (lambda: (sys.gettrace(), sys.getprofile()), _put_tracing),
        (gc.isenabled, lambda value: gc.enable() if value else gc.disable()),
        (_autocasting, _changed(_autocasting, _put_autocasting)),
        (_global_hooks, _put_global_hooks),
        (sys.getrecursionlimit, sys.setrecursionlimit),
        (_cudnn, _put_cudnn),
    ]
    if threading.current_thread() is threading.main_thread():
        states.append((_signals, _put_signals))
    if not draws:
        states += [(torch.get_rng_state, torch.set_rng_state), (random.getstate, random.setstate)]
        if numpy is not None:
            states.append((numpy.random.get_state, numpy.random.set_state))
    if numpy is not None:
        states.append((numpy.geterr, lambda value: numpy.seterr(**value)))
    return states


def _changed(get: Callable[[], Any], put: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Puts back what has changed, where putting costs or warns."""

    def put_changed(value: Any) -> None:
        if get() != value:
            put(value)

    return put_changed


def _default_device() -> Any:
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def _set_default_device(device: Any) -> None:
    if _default_device() != device:
        torch.set_default_device(device)


def _determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_determinism(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _set_precision(value: str) -> None:
    torch.set_float32_matmul_precision(value)


def _folder() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:
        return None


def _environment() -> dict[Any, Any]:
    # Decoding all of it takes as long as a tenth of a small trace: this is what it decodes.
    return dict(getattr(os.environ, "_data", os.environ))


def _put_environment(value: dict[Any, Any]) -> None:
    now = _environment()
    if now != value:
        variables: Any = os.environb if isinstance(next(iter(value), ""), bytes) else os.environ
        for name in now.keys() - value.keys():
            del variables[name]
        variables.update(value)


def _put_filters(value: list[Any]) -> None:
    if list(warnings.filters) != value:
        warnings.filters[:] = value  # type: ignore[index]
        warnings._filters_mutated()  # type: ignore[attr-defined]


def _put_streams(value: tuple[Any, Any, Any]) -> None:
    sys.stdout, sys.stderr, sys.excepthook = value


def _put_tracing(value: tuple[Any, Any]) -> None:
    if sys.gettrace() is not value[0]:
        sys.settrace(value[0])
    if sys.getprofile() is not value[1]:
        sys.setprofile(value[1])


def _autocasting() -> list[tuple[bool, torch.dtype]]:
    return [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in _AUTOCAST]


def _put_autocasting(value: list[tuple[bool, torch.dtype]]) -> None:
    for kind, (is_enabled, dtype) in zip(_AUTOCAST, value, strict=True):
        torch.set_autocast_enabled(kind, is_enabled)
        torch.set_autocast_dtype(kind, dtype)


_AUTOCAST = ("cpu", "cuda")


def _global_hooks() -> list[dict[Any, Any]]:
    return [dict(hooks) for hooks in _GLOBAL_HOOKS]


def _put_global_hooks(value: list[dict[Any, Any]]) -> None:
    for hooks, before in zip(_GLOBAL_HOOKS, value, strict=True):
        if hooks.keys() != before.keys():
            hooks.clear()
            hooks.update(before)


_GLOBAL_HOOKS: list[dict[Any, Any]] = [
    value for name, value in vars(nn.modules.module).items() if name.startswith("_global_") and isinstance(value, dict)
]
"""What is called for every module there is."""


def _saving_hooks() -> bool:
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


_STACKS: list[tuple[Callable[[], int], Callable[[], object]]] = [
    (torch._C._len_torch_function_stack, torch._C._pop_torch_function_stack),
    (torch._C._len_torch_dispatch_stack, lambda: torch._C._pop_torch_dispatch_stack(None)),
    (_saving_hooks, torch._C._autograd._pop_saved_tensors_default_hooks),
]
"""Of torch: how long each is, and what takes the uppermost off."""


def _cudnn() -> tuple[bool, bool, bool]:
    backend = torch.backends.cudnn
    return backend.enabled, backend.benchmark, backend.deterministic


def _put_cudnn(value: tuple[bool, bool, bool]) -> None:
    backend = torch.backends.cudnn
    if _cudnn() != value:
        backend.enabled, backend.benchmark, backend.deterministic = value


_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGUSR1") if hasattr(signal, name))


def _signals() -> list[Any]:
    return [signal.getsignal(number) for number in _SIGNALS]


def _put_signals(value: list[Any]) -> None:
    for number, handler in zip(_SIGNALS, value, strict=True):
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


_SETTINGS: list[tuple[Callable[[], Any], Callable[[Any], None]]] = [
    (torch.get_default_dtype, torch.set_default_dtype),
    (_default_device, _set_default_device),
    (torch.is_grad_enabled, torch._C._set_grad_enabled),
    (_determinism, _changed(_determinism, _set_determinism)),  # which imports torch's compiler
    (torch.get_float32_matmul_precision, _changed(torch.get_float32_matmul_precision, _set_precision)),
]
"""Of torch: how each is read and put."""
