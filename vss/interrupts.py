"""Signals as cancellation: the first SIGINT or SIGTERM cancels the main task, and its clean-up runs to the end.

Decides for both worlds what Ctrl-C means: thaw, release, clean up, then ``Interrupted``. A second signal is noted and ignored,
since frozen writers must be thawed; from the third one on ``KeyboardInterrupt`` is raised on the spot. Signals are taken over
only in the main thread and only from Python's default handlers; the old ones are put back.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_PATIENCE = 3
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Interrupts:
    """Use as ``with Interrupts(cancel) as interrupts``; ``interrupts.signum`` is the first signal that came, or None.

    ``cancel`` is called once, inside the signal handler: it may only do what is safe between any two steps.
    """

    def __init__(self, cancel: Callable[[], object]) -> None:
        """Remember what to call."""
        self.signum: int | None = None
        self._cancel = cancel
        self._count = 0
        self._taken: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():
            for number, default in _DEFAULTS.items():
                if signal.getsignal(number) == default:
                    self._taken[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Put the old handlers back."""
        for number, handler in self._taken.items():
            signal.signal(number, handler)
        self._taken.clear()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count == 1:
            self.signum = signum
            self._cancel()
        elif self._count >= _PATIENCE:
            raise KeyboardInterrupt
