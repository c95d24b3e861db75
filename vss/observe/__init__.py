"""The recorder and its views: ``jsonl``, ``console``, ``timeline``, ``event_log`` (pure functions), ``structlog_sink``."""

from vss.observe.recorder import Recorder, Sink, SinkFailure

__all__ = ["Recorder", "Sink", "SinkFailure"]
