"""The step of a requestor that somebody else wrote: the calls of a session one by one, in whatever order the file says.

A call that is refused does not end the step: what each call came to is the step's result, for expectations to look at
(``data = { "calls.1.error" = "BadStateError" }``). ``leaves`` ends the requestor without a release, as a program that exits.
``document`` names a step: one that called ``save_as_xml``, or whose backup set holds the document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vss.coordinator import Session, SnapshotAttributes, SnapshotContext
from vss.documents import BackupComponents, BackupType, ComponentType, NewTarget, WriterMetadata
from vss.documents.xml_reader import parse_backup_components
from vss.errors import ConfigurationError, InvariantError, VssError
from vss.ids import GUID_NULL, Guid
from vss.scenarios.step import Step, check_duration, check_reference, check_word
from vss.simulation.fault_grammar import parse_duration

if TYPE_CHECKING:
    from vss.scenarios.stage import Stage


@dataclass
class _Requestor:
    """What a program remembers between its calls."""

    step: str
    stage: Stage
    session: Session
    declared: list[WriterMetadata] = field(default_factory=list)
    snapshots: list[Guid] = field(default_factory=list)
    is_released: bool = False

    def components(self, name: str) -> list[tuple[Guid, Guid, ComponentType, str, str]]:
        """Every declared component that can be chosen, or the one called ``name``."""
        return [
            (writer.instance_id, writer.writer_id, each.type, each.logical_path, each.component_name)
            for writer in self.declared
            for each in writer.components
            if (each.component_name == name if name else each.selectable or not each.logical_path)
        ]


Call = Callable[[_Requestor, Mapping[str, Any]], Awaitable[Any]]


async def _initialize(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    document: BackupComponents | None = caller.stage.document_of(given["document"]) if "document" in given else None
    caller.session.initialize_for_backup(document)


async def _set_context(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    attributes = SnapshotAttributes[given.get("attributes", "NONE")]
    caller.session.set_context(SnapshotContext[given.get("context", "BACKUP")], attributes)


async def _set_state(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    caller.session.set_backup_state(
        select_components=True, bootable_system_state=False, backup_type=BackupType[given.get("type", "FULL")]
    )


async def _gather(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    caller.declared = await caller.session.gather_writer_metadata()
    return [each.instance_name or each.friendly_name for each in caller.declared]


async def _add(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    for each in caller.components(given.get("component", "")):
        caller.session.add_component(*each)


async def _start(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    caller.session.start_snapshot_set()


async def _add_volume(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    provider_id = caller.stage.lab.provider_id(given["provider"]) if "provider" in given else GUID_NULL
    caller.snapshots.append(await caller.session.add_to_snapshot_set(given.get("volume", "D:"), provider_id))


async def _prepare(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    await caller.session.prepare_for_backup()


async def _snapshot(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    await caller.session.do_snapshot_set()


async def _status(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    return {
        each.name: {
            "state": each.state.name,
            "state_number": int(each.state),
            "failure": each.failure.name,
            "failure_number": f"0x{each.failure.value:08X}",
        }
        for each in await caller.session.gather_writer_status()
    }


async def _succeeded(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    for each in caller.components(given.get("component", "")):
        caller.session.set_backup_succeeded(*each, bool(given.get("succeeded", True)))


async def _complete(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    await caller.session.backup_complete()


async def _abort(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    await caller.session.abort_backup()


async def _query(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    return len(await caller.session.query())


async def _is_supported(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    return await caller.session.is_volume_supported(given.get("volume", "D:"))


async def _delete(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    return await caller.session.delete_snapshots(caller.snapshots)


async def _save(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    caller.stage.documents[caller.step] = parse_backup_components(caller.session.save_as_xml())


async def _import(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    result = await caller.session.import_snapshots()
    return {"imported": len(result.imported), "missing": len(result.missing), "hresult": result.hresult.name}


async def _initialize_restore(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    caller.session.initialize_for_restore(caller.stage.document_of(given["document"]))


async def _select(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    for _, writer_id, type_, path, name in caller.components(given.get("component", "")):
        caller.session.set_selected_for_restore(writer_id, type_, path, name)


async def _add_new_target(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    target = NewTarget(given["path"], given.get("filespec", "*"), False, given["to"])
    for _, writer_id, type_, path, name in caller.components(given["component"]):
        caller.session.add_new_target(writer_id, type_, path, name, target)


async def _pre_restore(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    await caller.session.pre_restore()


async def _post_restore(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    await caller.session.post_restore()


async def _leave_waiting(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    caller.is_released = True
    await caller.session.leave_waiting()


async def _release(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    caller.is_released = True
    await caller.session.release()


async def _sleep(caller: _Requestor, given: Mapping[str, Any]) -> Any:
    await caller.stage.lab.ports.clock.sleep(parse_duration(given.get("duration", "1s")))


CALLS: Mapping[str, tuple[Call, tuple[str, ...]]] = {
    "initialize_for_backup": (_initialize, ("document",)),
    "set_context": (_set_context, ("context", "attributes")),
    "set_backup_state": (_set_state, ("type",)),
    "gather_writer_metadata": (_gather, ()),
    "add_component": (_add, ("component",)),
    "start_snapshot_set": (_start, ()),
    "add_to_snapshot_set": (_add_volume, ("volume", "provider")),
    "is_volume_supported": (_is_supported, ("volume",)),
    "prepare_for_backup": (_prepare, ()),
    "do_snapshot_set": (_snapshot, ()),
    "gather_writer_status": (_status, ()),
    "set_backup_succeeded": (_succeeded, ("component", "succeeded")),
    "backup_complete": (_complete, ()),
    "abort_backup": (_abort, ()),
    "query": (_query, ()),
    "delete_snapshots": (_delete, ()),
    "save_as_xml": (_save, ()),
    "import_snapshots": (_import, ()),
    "initialize_for_restore": (_initialize_restore, ("document",)),
    "select_for_restore": (_select, ("component",)),
    "add_new_target": (_add_new_target, ("component", "path", "filespec", "to")),
    "pre_restore": (_pre_restore, ()),
    "post_restore": (_post_restore, ()),
    "leave_waiting": (_leave_waiting, ()),
    "release": (_release, ()),
    "sleep": (_sleep, ("duration",)),
}
"""Every call and the keys that it takes."""

_REQUIRED: Mapping[str, Sequence[str]] = {
    "initialize_for_restore": ("document",),
    "add_new_target": ("component", "path", "to"),
}
"""Keys that a call cannot do without."""

_VALUES: Mapping[str, Sequence[str]] = {
    "context": list(SnapshotContext.__members__),
    "attributes": list(SnapshotAttributes.__members__),
    "type": list(BackupType.__members__),
}


class SessionCalls(Step, frozen=True, kw_only=True, tag="session"):
    """Call a session as the file says.

    Attributes:
        calls: a name, or a table with ``call`` and what that call takes. ``must_fail = "BadStateError"`` in a table makes the
            step fail where the call does not, in that way.
        leaves: end without releasing the session.
    """

    calls: list[str | dict[str, Any]]
    leaves: bool = False

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse unknown calls, and keys that a call does not take."""
        for index, call in enumerate(self._tables()):
            here = f"{where}: calls[{index}]"
            check_word(str(call.get("call", "")), list(CALLS), here)
            taken = (*CALLS[call["call"]][1], "call", "must_fail")
            for key, value in call.items():
                if key not in taken:
                    raise ConfigurationError(f"{here}: '{call['call']}' takes no '{key}': expected {', '.join(taken)}")
                if not isinstance(value, bool if key == "succeeded" else str):
                    raise ConfigurationError(
                        f"{here}: {key}: expected {'true or false' if key == 'succeeded' else 'text'}, found {value!r}"
                    )
                if key == "duration":
                    check_duration(str(value), f"{here}: duration")
                if key in _VALUES:
                    check_word(str(value), _VALUES[key], f"{here}: {key}")
            for key in _REQUIRED.get(call["call"], ()):
                if key not in call:
                    raise ConfigurationError(f"{here}: '{call['call']}' needs '{key}', found {', '.join(call)}")
            if "document" in call:
                check_reference(str(call["document"]), names, f"{here}: document")

    def _tables(self) -> list[dict[str, Any]]:
        return [{"call": each} if isinstance(each, str) else each for each in self.calls]

    async def run(self, stage: Stage) -> Any:
        """Make the calls; return what each came to."""
        caller = _Requestor(self.name, stage, stage.lab.open_session())
        results: list[dict[str, Any]] = []
        try:
            results += [await _outcome_of(caller, table) for table in self._tables()]
        finally:
            if not caller.is_released and not self.leaves:
                await caller.session.release()
        wrong = [
            f"{table['call']}: expected {table['must_fail']}, found {result['error'] or 'no error'}"
            for table, result in zip(self._tables(), results, strict=True)
            if "must_fail" in table and result["error"] != table["must_fail"]
        ]
        if wrong:
            raise InvariantError("; ".join(wrong))
        return {"calls": results, "refused": sum(1 for each in results if each["error"])}


async def _outcome_of(caller: _Requestor, table: Mapping[str, Any]) -> dict[str, Any]:
    call, _ = CALLS[table["call"]]
    result: dict[str, Any] = {"call": table["call"], "error": "", "message": "", "hresult": "", "value": None}
    try:
        result["value"] = await call(caller, table)
    except VssError as error:
        result |= {"error": type(error).__name__, "message": error.message, "hresult": error.hresult.name}
    return result
