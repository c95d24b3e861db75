"""Errors of the simulator itself: what ends a run that no role ended.

They are ``VssError`` so that commands map them to exit codes, and none of them is raised by the simulated product. A message
never holds an address or a hash, so that the same seed prints the same text.
"""

from __future__ import annotations

from vss.errors import VssError
from vss.exit_codes import ExitCode


class SimulationError(VssError):
    """Root of what the simulator raises."""

    exit_code = ExitCode.INVARIANT


class ForbiddenError(SimulationError, NotImplementedError):
    """Something of the outside world (thread, socket, process, signal) was asked for; ``hint`` names the port to use."""

    exit_code = ExitCode.UNSUPPORTED


class DeadlockError(SimulationError):
    """Nothing is ready, no timer is armed, and the main task waits; the message lists who waits for what."""


class LivelockError(SimulationError):
    """A bound on steps was reached: too many in one instant, or in the whole run."""


class VirtualTimeError(SimulationError):
    """The run reached its bound of virtual time."""


class LeakError(SimulationError):
    """Something outlived the run: a task that ignores its cancellation, or an armed timer."""


class UnhandledError(SimulationError):
    """An exception reached the loop's handler: a task failed and nobody looked at it, or a plain callback raised."""


class WorldClosedError(SimulationError):
    """An effect was tried after the end of the world."""


class ReplayError(SimulationError):
    """A recorded choice does not fit the run: the code or the plan differs from the recording's."""
