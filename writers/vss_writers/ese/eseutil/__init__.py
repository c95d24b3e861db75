"""The engine's own tool: dumps, checks and recovery over ordinary files. ``command`` is the Click command."""

from vss_writers.ese.eseutil.command import command

__all__ = ["command"]
