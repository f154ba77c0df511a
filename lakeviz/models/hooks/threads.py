"""Hooks belong to the thread that puts them on; others use the same tower untouched.

The modules of a tower are shared. What is put on them for a pass, a PyTorch hook or a stand-in for
``forward``, acts in the thread that put it on and lets every other thread through.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from torch import nn
from transformer_lens.hook_points import HookPoint

from lakeviz.errors import HookError

Function = Callable[..., Any]


class OwnHooks(threading.local):
    """The hook points of a tower with what hangs on them: each thread has its own.

    ``level`` counts the ``with tower.hooks(...)`` that are open.
    """

    def __init__(self, names: Iterable[str]) -> None:
        # threading.local calls this in every thread that comes by.
        self.points: dict[str, HookPoint] = {}
        for name in names:
            self.points[name] = HookPoint()
            self.points[name].name = name
        self.level = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return OwnHooks, (tuple(self.points),)  # copied and pickled without hooks


def only_here(hook: Function) -> Function:
    """Make a PyTorch hook pass over calls from other threads than this one."""
    owner = get_ident()

    def own(*args: Any) -> Any:
        return hook(*args) if get_ident() == owner else None

    return own


class StandIn:
    """Handle of a function that stands in for a module's ``forward`` in this thread."""

    def __init__(self, module: nn.Module, forward: Function) -> None:
        self.module, self.forward, self.owner = module, forward, get_ident()
        with _LOCK:
            shadow = module.__dict__.get("forward")
            if not isinstance(shadow, _Shadow):
                # An instance attribute hides the method; class and weights stay as they are.
                shadow = module.__dict__["forward"] = _Shadow(module, shadow)
            shadow.by_thread.setdefault(self.owner, []).append(self)

    def remove(self) -> None:
        """Take it off; once it is off nothing happens."""
        with _LOCK:
            shadow = self.module.__dict__.get("forward")
            if not isinstance(shadow, _Shadow) or self not in shadow.by_thread.get(self.owner, ()):
                return
            own = shadow.by_thread[self.owner]
            own.remove(self)
            if not own:
                del shadow.by_thread[self.owner]
            if not shadow.by_thread:
                del self.module.__dict__["forward"]
                if shadow.hidden is not None:
                    self.module.__dict__["forward"] = shadow.hidden


def stand_in_of(module: nn.Module) -> StandIn | None:
    """What stands in for a module's ``forward`` in this thread."""
    shadow = module.__dict__.get("forward")
    own = shadow.by_thread.get(get_ident()) if isinstance(shadow, _Shadow) else None
    return own[-1] if own else None


_LOCK = threading.Lock()


class _Shadow:
    def __init__(self, module: nn.Module, hidden: Function | None) -> None:
        self.module, self.hidden = module, hidden
        self.by_thread: dict[int, list[StandIn]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        own = self.by_thread.get(get_ident())
        if own:
            return own[-1].forward(*args, **kwargs)
        if self.hidden is not None:
            return self.hidden(*args, **kwargs)
        return type(self.module).forward(self.module, *args, **kwargs)


class WeightGate:
    """Keeps passes of other threads from weights that are removed for a while."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: Counter[int] = Counter()
        self._owner, self._depth = 0, 0

    def __reduce__(self) -> tuple[Any, ...]:
        return WeightGate, ()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """A forward pass."""
        me = get_ident()
        with self._changed:
            self._check(me)
            self._running[me] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= Counter({me: 1})
                self._changed.notify_all()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change weights for a while: waits for passes of other threads, and refuses new ones."""
        me = get_ident()
        with self._changed:
            self._check(me)
            self._owner, self._depth = me, self._depth + 1
            self._changed.wait_for(lambda: not self._running.keys() - {me})
        try:
            yield
        finally:
            with self._changed:
                self._depth -= 1
                if not self._depth:
                    self._owner = 0

    def _check(self, me: int) -> None:
        if self._owner not in (0, me):
            raise HookError(
                "another thread has removed weights of this tower (weights_removed): wait until it "
                "is done, or load the model once more"
            )
