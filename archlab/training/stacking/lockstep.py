"""Trainings driven side by side, so that their steps can be taken as one.

Each goes on by itself to its next step; when all have handed one out, those of equally many images are taken together,
and each training is sent what its step gave. One that ends leaves the others, which go on as a smaller stack; where the
memory is not enough, stacks are halved; where a stack fails otherwise, each takes its steps by itself, and says what is
wrong with its network.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch

from archlab.networks.strangers import described
from archlab.training.stacking.layers import UnstackableError
from archlab.training.stacking.stack import Stack
from archlab.training.step import Course, Step, Taken

T = TypeVar("T")


@dataclass(slots=True)
class Outcome(Generic[T]):
    """What a course came to: a value, or what it raised."""

    value: T | None = None
    error: BaseException | None = None


def in_lockstep(
    courses: Sequence[Course[T]],
    *,
    precision: str = "fp32",
    most: int | None = None,
    tell: Callable[[str], None] = lambda words: None,
) -> list[Outcome[T]]:
    """What each course comes to, in their order.

    Args:
        courses: of trainings whose networks have one structure.
        precision: in which these compute.
        most: trainings of one stack; None for all.
        tell: called with a sentence where steps are taken otherwise than they were until then.
    """
    steps = _Steps(precision, most or len(courses), tell)
    members = [_Member(course) for course in courses]
    for member in members:
        member.begin()
    while waiting := [member for member in members if member.step is not None]:
        steps.take(waiting)
        for member in waiting:
            member.go_on()
    return [member.outcome for member in members]


class _Member(Generic[T]):
    """One of the trainings."""

    def __init__(self, course: Course[T]) -> None:
        self._course = course
        self.step: Step | None = None
        """The one that waits; None once the course has ended."""
        self.answer: Taken | BaseException | None = None
        """What it gave, or raised."""
        self.seconds = 0.0
        """This training's share of the time that it took."""
        self.outcome: Outcome[T] = Outcome()
        self._handed = 0.0

    def begin(self) -> None:
        """Go on to the first step."""
        self._advance(lambda: next(self._course))

    def go_on(self) -> None:
        """Go on to the next step, with what this one gave."""
        answer, elsewhere = self.answer, time.perf_counter() - self._handed - self.seconds
        if isinstance(answer, Taken):
            told = replace(answer, elsewhere=elsewhere)
            self._advance(lambda: self._course.send(told))
        else:
            assert answer is not None
            self._advance(lambda: self._course.throw(answer))

    def _advance(self, to_next: Callable[[], Step]) -> None:
        self.step = self.answer = None
        try:
            self.step = to_next()
        except StopIteration as end:
            self.outcome.value = end.value
        except BaseException as error:
            self.outcome.error = error
        self._handed = time.perf_counter()


class _Steps:
    """Takes the steps of trainings, as many of them together as can be."""

    def __init__(self, precision: str, most: int, tell: Callable[[str], None]) -> None:
        self._precision, self._most, self._tell = precision, most, tell
        self._stacks: list[Stack] = []

    def take(self, members: Sequence[_Member[Any]]) -> None:
        """Give each member the answer to its step."""
        sizes: dict[tuple[int, ...], list[_Member[Any]]] = {}
        for member in members:
            assert member.step is not None
            sizes.setdefault(member.step.images.shape, []).append(member)
        used: list[Stack] = []
        for alike in sizes.values():
            for chunk in _chunks(alike, self._most):
                if len(chunk) == 1 or not self._take_together(chunk, used):
                    for member in chunk:
                        _take_alone(member)
        self._stacks = used or self._stacks

    def _take_together(self, chunk: Sequence[_Member[Any]], used: list[Stack]) -> bool:
        """Whether the steps could be taken as one."""
        steps = [member.step for member in chunk if member.step is not None]
        started = time.perf_counter()
        try:
            stack = next((known for known in self._stacks if known.is_of(steps)), None)
            stack = stack or Stack(steps, self._precision)
            answers = stack.take(steps)
        except Exception as error:  # whatever a stranger's network may raise; then each says so by itself
            self._reduce(error, len(chunk))
            return False
        used.append(stack)
        for member, answer in zip(chunk, answers, strict=True):
            member.answer, member.seconds = answer, (time.perf_counter() - started) / len(chunk)
        return True

    def _reduce(self, error: Exception, count: int) -> None:
        """Take fewer steps together from now on."""
        if is_out_of_memory(error):
            self._most, why = count // 2, f"the memory is not enough for {count} runs as one program"
        else:
            self._most, why = 1, f"{count} runs can't be trained as one program ({_reason(error)})"
        self._stacks = []
        size = f"{self._most} at a time" if self._most > 1 else "one after the other"
        self._tell(f"{why}: they go on {size}")


def _take_alone(member: _Member[Any]) -> None:
    assert member.step is not None
    started = time.perf_counter()
    try:
        member.answer = member.step.take()
    except BaseException as error:  # is thrown into the course, which knows what becomes of it
        member.answer = error
    member.seconds = time.perf_counter() - started


def _chunks(members: Sequence[_Member[Any]], most: int) -> list[Sequence[_Member[Any]]]:
    """The members in their order, in as few parts of at most so many as can be, which are nearly equal."""
    parts = -(-len(members) // most)
    bounds = [place * len(members) // parts for place in range(parts + 1)]
    return [members[start:stop] for start, stop in itertools.pairwise(bounds)]


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, UnstackableError) else described(error)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it comes from, says that memory is not enough."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__
    return False
