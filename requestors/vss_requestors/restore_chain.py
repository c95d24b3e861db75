"""Restoring a chain in one call: a full backup and what was taken since, every set checked before the first file is touched.

A chain is a full backup and one differential, or a full backup and all incremental and log backups since, in order. Where sets
carry stamps, each must build on one before it. Recovery waits for the last set (SetAdditionalRestores). A set that does not
come back whole ends the chain: increments over it would only hide that. Sources: "VSS_BACKUP_TYPE", "Restoring incremental and
differential backups".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from vss.documents.selection import restore_chain
from vss.errors import BackupSetError
from vss.exit_codes import ExitCode
from vss.roles.requestor import Machine
from vss_requestors.options import RestoreOptions
from vss_requestors.repository.set_reader import BackupSet
from vss_requestors.restore import RestoreRun
from vss_requestors.results import RestoreResult


async def restore_sets(machine: Machine, options: RestoreOptions) -> RestoreResult:
    """Restore ``options.source`` and then each of ``options.increments``.

    Returns:
        The result of the last set that was begun, the others in ``earlier``; its exit code is the worst of all.

    Raises:
        VssError: as for one set. BackupSetError also where the sets are no chain; nothing was changed.
    """
    sources = (options.source, *options.increments)
    runs: list[RestoreRun] = []
    sets: list[BackupSet] = []
    for number, source in enumerate(sources):
        of_set = replace(
            options,
            source=source,
            document=options.document if number == 0 else None,
            increments=(),
            additional_restores=options.additional_restores or number < len(sources) - 1,
        )
        runs.append(RestoreRun(machine, of_set))
        sets.append(await runs[-1].prepare())
    check_chain(sets)
    results: list[RestoreResult] = []
    for number, run in enumerate(runs):
        results.append(await run.carry_out())
        if any(each.status != "ALL" or each.reason for each in results[-1].components):
            return _joined(results, [each.record.set_id for each in sets[number + 1 :]])
    return _joined(results, [])


def check_chain(sets: Sequence[BackupSet]) -> None:
    """Refuse sets that do not build on one another in this order; ``BackupSetError`` names them."""
    types = [each.document.backup_type for each in sets]
    for number in range(1, len(types)):
        chain = restore_chain(types[: number + 1])
        if chain != tuple(range(number + 1)):
            names = " → ".join(f"{each.record.set_id} ({each.document.backup_type.name})" for each in sets)
            raise BackupSetError(
                f"these sets are no chain: {names}",
                hint="expected a full backup and one differential, or a full backup and every incremental and log backup since",
            )
    stamps: dict[tuple[str, str], list[bytes]] = {}
    for number, each in enumerate(sets):
        for writer in each.document.writers:
            for component in writer.components:
                known = stamps.setdefault((str(writer.writer_id), component.full_path.casefold()), [])
                previous = component.previous_backup_stamp
                if number and previous and previous not in known:
                    raise BackupSetError(
                        f"backup set '{each.record.set_id}' does not build on the sets before it: "
                        f"component '{component.full_path}' has the stamp of another backup"
                    )
                known.append(component.backup_stamp)


def _joined(results: Sequence[RestoreResult], left_out: Sequence[str]) -> RestoreResult:
    *earlier, last = results
    worst = (ExitCode.OK, ExitCode.WARNINGS, ExitCode.UNEXPECTED)
    exit_code = max((ExitCode(each.exit_code) for each in results), key=lambda each: worst.index(each))
    warnings = last.warnings + tuple(
        f"backup set '{set_id}' was not restored: '{last.set_id}' before it is not back whole" for set_id in left_out
    )
    return msgspec.structs.replace(last, earlier=tuple(earlier), warnings=warnings, exit_code=exit_code)
