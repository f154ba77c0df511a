"""Where the tasks of a sweep run: joblib and its backends. The one file that knows joblib."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor

from lakeviz.errors import ConfigError, nearest
from lakeviz.studies.sweep.result import BACKENDS

Task = TypeVar("Task")
Result = TypeVar("Result")

_CLUSTERS = {"dask": "distributed", "ray": "ray"}
# Joblib hands the results of ray's backend out only once all are there.
_AS_FINISHED = ("loky", "threading", "sequential", "dask")
_CONNECT_SECONDS = 20


@dataclass(frozen=True)
class Engine:
    """A backend that is ready."""

    backend: str
    n_jobs: int  # tasks at a time; a cluster has its own number

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Generator[Result, None, None]:
        """Yield the results as they are finished, in any order.

        In other processes and threads torch works on one thread, so that the tasks share the
        processors; the caller's own setting is left as it was.
        """
        if not tasks:
            return
        jobs = self.n_jobs if self.backend not in _CLUSTERS else -1
        return_as = "generator_unordered" if self.backend in _AS_FINISHED else "list"
        call = function if self.backend == "sequential" else _OneThread(function)
        before = torch.get_num_threads()
        results: Any = Parallel(n_jobs=jobs, return_as=return_as)(
            delayed(call)(task) for task in tasks
        )
        try:
            yield from results
        finally:
            if hasattr(results, "close"):
                results.close()  # after Ctrl-C: what is running is stopped, not waited for
            torch.set_num_threads(before)


@dataclass(frozen=True)
class _OneThread:
    """A function that has torch work on one thread."""

    function: Callable[[Any], Any]

    def __call__(self, task: Any) -> Any:
        torch.set_num_threads(1)
        return self.function(task)


def _end_with(parent: int) -> None:
    """End this process within a second of its parent, however that ends: loky waits minutes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="lakeviz-ends-with-parent").start()


@contextmanager
def engine(backend: str = "loky", n_jobs: int = 2, address: str | None = None) -> Iterator[Engine]:
    """Get a backend ready, and let go of what was opened for it.

    On this machine ``n_jobs`` tasks run at a time, -1 for all processors. A cluster (``"dask"``,
    ``"ray"``) runs already, at an ``address`` or connected.
    """
    if backend not in BACKENDS:
        raise ConfigError(
            f"no backend {backend!r}{nearest(backend, BACKENDS)}; there are {', '.join(BACKENDS)}"
        )
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise ConfigError(f"n_jobs must be a number of tasks at a time, or -1, not {n_jobs!r}")
    if address is not None and backend not in _CLUSTERS:
        raise ConfigError(f"an address is of a cluster (dask or ray), not of the backend {backend}")
    with ExitStack() as stack:
        if backend in _CLUSTERS:
            _require(backend)
            (_connect_dask if backend == "dask" else _connect_ray)(stack, address)
        own: dict[str, Any] = {}
        if backend == "loky":  # its workers would idle on, each with a copy of torch
            own = {"initializer": _end_with, "initargs": (os.getpid(),)}
            stack.callback(lambda: get_reusable_executor().shutdown(wait=True))
        stack.enter_context(parallel_config(backend=backend, **own))
        yield Engine(backend, n_jobs)


def _require(backend: str) -> None:
    package = _CLUSTERS[backend]
    try:
        import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"the backend {backend} needs the package {package}, which is not installed: "
            f"pip install 'lakeviz[{backend}]'"
        ) from error


def _connect_dask(stack: ExitStack, address: str | None) -> None:
    distributed = import_module("distributed")
    if address is None:
        try:
            distributed.get_client()
        except ValueError as error:
            raise ConfigError(
                "no Dask cluster is connected: give the address of its scheduler, such as "
                "tcp://host:8786, or connect a dask.distributed.Client first"
            ) from error
        return
    try:
        stack.enter_context(distributed.Client(address, timeout=_CONNECT_SECONDS))
    except (OSError, ValueError) as error:
        raise ConfigError(f"no Dask scheduler answers at {address}: {error}") from error


def _connect_ray(stack: ExitStack, address: str | None) -> None:
    ray = import_module("ray")
    if not ray.is_initialized():
        try:
            ray.init(address=address or "auto", log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"no Ray cluster answers at {address or 'auto'}: {error}") from error
        stack.callback(ray.shutdown)
    import_module("ray.util.joblib").register_ray()
