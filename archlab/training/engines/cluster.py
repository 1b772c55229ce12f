"""Workers on the nodes of a Ray cluster, each an actor with a process (`remote`): the engine `ray`.

The driver, which is this process, asks each actor what has happened (`hear`), one call at a time for each, and asks
again when it has dealt with the answer: what is on its way is bounded by that. Calls are answered in threads of Ray;
one thread here deals with the answers, writes into the store what comes by value, and passes events on to the pool.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import queue
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archlab import files
from archlab.errors import InputError, StoreError, cut
from archlab.records import TrainingConfig
from archlab.store.replica import Replicas, beginnings
from archlab.training.engines.interface import Worker
from archlab.training.engines.local import END_SECONDS, STACK_SECONDS
from archlab.training.engines.needs import Data, Needs, Piece, needs_of, packed
from archlab.training.engines.remote import PACE_SECONDS, Heard, RemoteWorker, Started
from archlab.training.execution import Execution
from archlab.training.worker import Accelerator, Ended, Greeting, Job

if TYPE_CHECKING:
    from archlab.store import Store

UNREACHABLE_SECONDS = 60.0
"""For which an actor is asked again that can't be reached, before it is taken for lost."""
ASK_SECONDS = 1.0
"""Between two such calls."""
PACE_PER_WORKER = 0.01
"""Seconds between the answers of all workers together: they take a fraction of one core
(`python -m benchmarks.engines` measures it)."""
KNOCK_SECONDS = 5.0
"""For a cluster's address to answer."""
_NO_CLUSTER = (
    "there is no Ray cluster at {}: {}. Start one (ray start --head; on each other machine ray start "
    "--address=HOST:6379), and give --address HOST:6379; where it wants a token, set RAY_AUTH_MODE=token here too"
)


class RayEngine:
    """Starts actors on a cluster; one with a GPU each, where the cluster has any and `device` allows it.

    Args:
        execution: where and how.
        configs: what is trained; none for who only asks how many workers there would be.

    Raises:
        InputError: the cluster can't be reached, or has no room for a worker.
    """

    takes_groups = False
    shares_accelerator = False

    def __init__(self, execution: Execution, configs: Sequence[TrainingConfig] = ()) -> None:
        self._ray = connected(execution.address)
        has = self._ray.cluster_resources()
        device = execution.device or ("cuda" if has.get("GPU") else "cpu")
        self._wanted = {"CPU": 1} if device == "cpu" else {"CPU": 1, "GPU": 1}
        self._room = int(min(has.get(name, 0) for name in self._wanted))
        if self._room < 1:
            wanted = " and a ".join(self._wanted)
            held = ", ".join(f"{has.get(name, 0):g} {name}" for name in self._wanted)
            raise InputError(
                f"a worker takes a {wanted}, and the Ray cluster has {held}: add nodes, or name another --device"
            )
        home = execution.home.path.absolute()
        self._execution = replace(execution, store=execution.home, download=False)
        self._sign = home / f".workers.{uuid.uuid4().hex[:8]}"
        self._needs = needs_of(configs, execution, (str(self._sign), self._sign.name))
        self._started = 0
        self._sent: dict[str, list[Any]] = {}
        self._answers: queue.SimpleQueue[_Answer | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deal, daemon=True)
        self._thread.start()

    def default_workers(self, *, accelerators: int) -> int:
        """As many as the cluster has room for: one per core, or per GPU."""
        return self._room

    def start(self, greeting: Greeting, on_event: Callable[[Worker, object], None]) -> RayWorker:
        """An actor, which begins as soon as a node has room for it."""
        with files.writing(self._sign):  # each time, since what lies there for long is swept
            self._sign.parent.mkdir(parents=True, exist_ok=True)
            self._sign.write_text(self._sign.name, encoding="utf-8")
        # Concurrent calls: one that waits for events, and beside it what is handed over or asked meanwhile.
        actors = self._ray.remote(RemoteWorker).options(
            num_cpus=1, num_gpus=self._wanted.get("GPU", 0), max_concurrency=4, max_restarts=0, max_task_retries=0
        )
        greeting = replace(greeting, execution=replace(self._execution, store=str(self._sign.parent)))
        self._started += 1
        return RayWorker(self, actors.remote(), greeting, on_event)

    def close(self) -> None:
        """Forget the cluster's workers; the connection stays, for who asks again."""
        self._answers.put(None)
        self._thread.join()
        self._sent.clear()
        self._sign.unlink(missing_ok=True)

    def then(self, worker: RayWorker, reference: Any, deal: Callable[[Future[Any]], None]) -> None:
        """Have the answer to a call of a worker dealt with in the engine's thread, when it comes."""
        reference.future().add_done_callback(lambda answer: self._answers.put((worker, deal, answer)))

    def _deal(self) -> None:
        while (item := self._answers.get()) is not None:
            worker, deal, answer = item
            try:
                deal(answer)
            except Exception as error:  # it is that worker's alone: this thread hears all of them
                worker.fail(error)

    def pieces(self, data: Data) -> list[Any]:
        """References to the files of a data set, which are put into Ray's object store once."""
        if data.dataset not in self._sent:
            self._sent[data.dataset] = [self._ray.put(piece) for piece in packed(data, self._execution)]
        return self._sent[data.dataset]

    def answer(self, reference: Any, seconds: float) -> Any:
        """The answer to a call; None where there is none in time."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            return self._ray.get(reference, timeout=seconds)
        return None

    def kill(self, actor: Any) -> None:
        """End an actor, if it is still there."""
        with contextlib.suppress(ValueError, self._ray.exceptions.RayError):
            self._ray.kill(actor)

    @property
    def pace(self) -> float:
        """Seconds in which a worker tells once what it does: with many of them each less often."""
        return max(PACE_SECONDS, self._started * PACE_PER_WORKER)

    @property
    def needs(self) -> Needs:
        """What all jobs need of a node."""
        return self._needs

    @property
    def store(self) -> Store:
        """Where runs are kept."""
        return self._execution.home

    def is_unreachable(self, error: BaseException) -> bool:
        """Whether an actor can't be reached, and may be again."""
        return isinstance(error, self._ray.exceptions.ActorUnavailableError)

    def is_loss(self, error: BaseException) -> bool:
        """Whether an actor is gone: with its node, or since the node ran out of memory."""
        return isinstance(error, self._ray.exceptions.RayActorError)


_Answer = tuple["RayWorker", Callable[[Future[Any]], None], Future[Any]]


class RayWorker(Worker):
    """An actor that trains.

    Args:
        engine: which started it.
        actor: the handle of a `RemoteWorker`.
        greeting: what all its jobs share.
        on_event: called with each event, and with None when there are no more.
    """

    def __init__(
        self, engine: RayEngine, actor: Any, greeting: Greeting, on_event: Callable[[Worker, object], None]
    ) -> None:
        super().__init__()
        self._engine, self._actor, self._greeting, self._on_event = engine, actor, greeting, on_event
        self._number = 0
        """Of the answer that is asked for."""
        self._unreachable = 0.0
        self._replicas: Replicas | None = None
        """What it writes in the store here; None where it sees the store itself."""
        self._turn = threading.Lock()
        """Answers are dealt with in one thread, and the end is settled in another."""
        self._gone = threading.Event()
        self._has_place = self._is_lost = self._is_stopped = False
        self._reason = "its process was ended"
        self._start(None)

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self._gone.is_set()

    @property
    def is_lost(self) -> bool:
        """Whether its node is gone, or can't be reached."""
        return self._is_lost

    @property
    def has_place(self) -> bool:
        """Whether a node had room for it."""
        return self._has_place

    @property
    def is_stopped(self) -> bool:
        """Whether somebody stopped its process, when it was last heard."""
        return self._is_stopped

    def send(self, work: Job | Accelerator) -> None:
        """Hand it what to train, one run at a time."""
        assert isinstance(work, TrainingConfig)
        config = work
        parts = beginnings(self._engine.store, config) if self._replicas is not None else []
        self._actor.begin.remote(config, parts)

    def dismiss(self) -> None:
        """Give it no more jobs."""
        if self._has_place:
            self._actor.dismiss.remote()
        else:
            self.kill()

    def kill(self) -> None:
        """End its process where it is."""
        if self._has_place and not self.is_gone:
            self._engine.then(self, self._actor.close.remote(), lambda answer: self._finish())
        else:
            self._finish()

    def end(self) -> str:
        """Why it ended, once it is gone."""
        self._gone.wait(END_SECONDS)
        self._finish()
        self._engine.kill(self._actor)
        return self._reason

    def place(self) -> str:
        """Where its training is."""
        return self._engine.answer(self._actor.place.remote(), STACK_SECONDS + 1) or ""

    def _start(self, sent: Mapping[str, Callable[[], Iterator[Piece]]] | None) -> None:
        self._engine.then(self, self._actor.start.remote(self._greeting, self._engine.needs, sent), self._on_started)

    def _on_started(self, answer: Future[Any]) -> None:
        try:
            started: Started = answer.result()
        except Exception as error:  # of whatever made the actor end
            self.fail(error)
            return
        self._has_place = True
        if started.refusal is not None:
            self._on_event(self, Ended(started.refusal))
        elif started.missing:
            self._start(
                {data.dataset: functools.partial(fetched, self._engine.pieces(data)) for data in started.missing}
            )
        else:
            if not started.has_store:
                self._replicas = Replicas(self._engine.store)
            self._hear()

    def _hear(self) -> None:
        if not self.is_gone:
            self._engine.then(self, self._actor.hear.remote(self._number, self._engine.pace), self._on_heard)

    def _on_heard(self, answer: Future[Any]) -> None:
        with self._turn:
            if self.is_gone:
                return
            try:
                heard: Heard = answer.result()
            except Exception as error:  # of whatever made the actor end
                if self._engine.is_unreachable(error) and self._unreachable < UNREACHABLE_SECONDS:
                    self._unreachable += ASK_SECONDS
                    threading.Timer(ASK_SECONDS, self._hear).start()
                    return
                failure: Exception | None = error
            else:
                failure = None
                self._number += 1
                self._unreachable, self._is_stopped = 0.0, heard.is_stopped
                self._take(heard)
        if failure is not None:
            self.fail(failure)
        elif heard.ended is not None:
            self._reason = heard.ended
            self._finish()
        else:
            self._hear()

    def _take(self, heard: Heard) -> None:
        """Keep what came by value, then pass on what was told: whoever hears of a run finds it in the store."""
        try:
            if self._replicas is not None:
                self._replicas.apply(heard.changes)
        except StoreError as error:
            self._on_event(self, Ended((StoreError, str(error))))
            return
        for event in heard.events:
            self._on_event(self, event)

    def fail(self, error: Exception) -> None:
        """Note that it has ended of an error."""
        self._is_lost = self._engine.is_loss(error)
        what = "its node is gone, or ended it" if self._is_lost else "its actor failed"
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        self._reason = f"{what}: {cut(lines[-1], 300) if lines else type(error).__name__}"
        self._finish()

    def _finish(self) -> None:
        """Nothing more comes: give back what is held, and say so, once."""
        with self._turn:
            if self.is_gone:
                return
            if self._replicas is not None:
                self._replicas.leave()
            self._gone.set()
        self._on_event(self, None)


def fetched(references: Sequence[Any]) -> Iterator[Piece]:
    """The pieces of a data set, on the node that asks for them: it gets them once for all its workers."""
    import ray

    for reference in references:
        yield ray.get(reference)


def connected(address: str | None) -> Any:
    """The module `ray`, connected: as it is already; to the cluster at an address; to one that runs on this machine; or
    to a new one of this machine alone.

    Raises:
        InputError: there is none at that address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray asks for it when it is imported
    import ray

    if ray.is_initialized():
        return ray
    from ray._private import worker as inside

    if address is not None:
        _knock(address)
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    # Ray would print pages of a node's log when one is lost, to the standard output: the pool says what happened.
    listen, inside.listen_error_messages = inside.listen_error_messages, lambda *_: None
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(_NO_CLUSTER.format(address or "this machine", cut(str(error)))) from error
    finally:
        inside.listen_error_messages = listen
        if is_main:
            signal.signal(signal.SIGTERM, handler)  # Ray takes it, and a training is to be kept at SIGTERM
    return ray


def _knock(address: str) -> None:
    """Hold that something answers at an address: Ray itself would try for minutes.

    Raises:
        InputError: nothing does.
    """
    host, mark, port = address.removeprefix("ray://").rpartition(":")
    if mark and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise InputError(_NO_CLUSTER.format(address, error)) from error
