"""What is taken down of applications' stores: names and first pages of databases, logs and checkpoints, around the calls in
which logs may go.

A store is a directory with a current log (``E00.log``) on the image of a volume; a database belongs to the store whose logs
carry the signature that its header names, where the headers of logs or checkpoint name the database. Looked at is what stands
when the first writer of a session is told BackupComplete, BackupShutdown or Abort, and what stands when the last one has
answered, so that nothing but that call can have made the difference. Offsets: published engine (ESE), daedef.hxx,
DBFILEHDR.signLog and LGFILEHDR.signLog.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vss.events import ComponentReported, Event, WriterAnswered, WriterCalled, WriterVetoed
from vss.scenarios.volume_files import Images, VolumeFiles
from vss.simulation.invariants import StoreEvidence

_CURRENT_LOG = re.compile(r"(?P<directory>.*\\)(?P<base>[^\\]{3})\.log", re.IGNORECASE)
_OF_STORES = re.compile(r".*\.(edb|log|chk)", re.IGNORECASE)
_HEAD_BYTES = 4096
_DATABASE_LOG_SIGNATURE = slice(108, 136)
_LOG_SIGNATURE = slice(44, 72)
_COMPLETING = "BackupComplete"
_CALLS = (_COMPLETING, "BackupShutdown", "Abort")


@dataclass
class _Call:
    """A call to the writers of a session: the volumes before the first of them got it and after the last one answered."""

    before: Images
    after: Images | None = None


@dataclass
class _Session:
    """What a session's requestor reported, and what the writers were told."""

    reported: list[bool] = field(default_factory=list)
    calls: dict[str, _Call] = field(default_factory=dict)


class ObservedStores:
    """The stores of one life."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._sessions: dict[str, _Session] = {}

    def _session(self, session_id: str) -> _Session:
        return self._sessions.setdefault(session_id, _Session())

    def noticed(self, event: Event, images: Callable[[], Images]) -> None:
        """Look at the volumes where ``event`` is the occasion."""
        if isinstance(event, ComponentReported):
            self._session(event.session_id).reported.append(event.succeeded)
        elif isinstance(event, WriterCalled):
            calls = self._session(event.session_id).calls
            if event.step in _CALLS and event.step not in calls:
                calls[event.step] = _Call(images())
        elif isinstance(event, WriterAnswered | WriterVetoed):
            call = self._session(event.session_id).calls.get(event.step)
            if call is not None:
                call.after = images()

    def evidence(self, at_cut: Images | None) -> dict[str, StoreEvidence]:
        """Return every store around every call, by a name that tells both.

        Of a call without an answer nobody knows when it was over, unless the machine's life was cut in it: ``at_cut`` are the
        volumes then.
        """
        found: dict[str, StoreEvidence] = {}
        for number, session in enumerate(self._sessions.values(), 1):
            has_succeeded = any(session.reported)
            for step, call in session.calls.items():
                is_last = number == len(self._sessions) and step == next(reversed(session.calls))
                after = at_cut if call.after is None and is_last else call.after
                if after is None or (has_succeeded and step != _COMPLETING):
                    continue
                is_success = has_succeeded and step == _COMPLETING
                for name, base, one, other in _stores(call.before, after):
                    key = f"{name} at {step} of session {number}"
                    found[key] = StoreEvidence(one, other, base_name=base, is_success=is_success)
        return found


def _stores(before: Images, after: Images) -> Iterator[tuple[str, str, dict[str, bytes], dict[str, bytes]]]:
    """Yield directory and base name of each store that was there before, and its files before and after."""
    one = _heads(before)
    other = one if all(image == after.get(name) for name, image in before.items()) else _heads(after)
    for path, data in one.items():
        current = _CURRENT_LOG.fullmatch(path)
        if current is not None:
            directory, base = current["directory"], current["base"]
            signature = data[_LOG_SIGNATURE]
            yield (
                f"{directory}{base}",
                base,
                _of_store(one, directory, base, signature),
                _of_store(other, directory, base, signature),
            )


def _heads(images: Images) -> dict[str, bytes]:
    files = VolumeFiles(images)
    heads = {path: files.read(path, _HEAD_BYTES) for path in files.paths() if _OF_STORES.fullmatch(path)}
    return {path: data for path, data in heads.items() if data is not None}


def _of_store(heads: dict[str, bytes], directory: str, base: str, signature: bytes) -> dict[str, bytes]:
    """Logs and checkpoint in the directory, and databases anywhere that name these logs and that they name: no copies."""
    prefix = f"{directory}{base}".casefold()
    found = {path: data for path, data in heads.items() if path.casefold().startswith(prefix)}
    named = b"".join(found.values())
    for path, data in heads.items():
        is_named = any(path.encode(each) in named for each in ("utf-16-le", "utf-8"))
        if path.casefold().endswith(".edb") and data[_DATABASE_LOG_SIGNATURE] == signature and is_named:
            found[path] = data
    return found
