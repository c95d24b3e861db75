"""The ``betest`` command: the options of the field's test requestor, over the backup and restore requestors.

What differs from the model, on purpose: verification is on; the type is COPY unless one is said, because FULL lets writers
truncate their logs; exactly one of backup, restore and snapshot must be said, because a restore nobody asked for destroys data.
``/NBC`` leaves the writers waiting, and ``/BC /S FILE`` in a later command completes the backup that FILE describes, for the
writers that still know it; it goes with nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from vss.cli.output import json_option, print_json
from vss.documents import BackupComponents, BackupType, NewTarget
from vss.documents.selection_file import SELECTION_SIZE_MAX_BYTES, parse_selection_text, parse_selection_xml
from vss.documents.xml import parse_backup_components
from vss.errors import ConfigurationError, NotFoundError
from vss.events import Record
from vss.exit_codes import ExitCode
from vss.ids import GUID_NULL, Guid
from vss.ports import HostFiles
from vss.roles.requestor import Machine
from vss_requestors.backup import BackupRequestor
from vss_requestors.betest_report import backup_report, completion_report, restore_report
from vss_requestors.betest_spelling import normalise
from vss_requestors.betest_values import many, one, rate
from vss_requestors.completion import CompletionRequestor
from vss_requestors.component_selection import ComponentName, names_of
from vss_requestors.new_target_names import parse_new_target
from vss_requestors.options import VerifyOn
from vss_requestors.restore import RestoreRequestor
from vss_requestors.restore_wishes import RollForward, Wish
from vss_requestors.results import BackupResult, CompletionResult, RestoreResult

MAX_DOCUMENT_BYTES = 16 << 20

Result = BackupResult | CompletionResult | RestoreResult
Job = Callable[[Machine], Awaitable[Result]]
Watch = Callable[[Record], None]
RunOnMachine = Callable[[Path, Job, Watch], Result]
"""Opens the machine in a directory, runs the job on it in its world, shuts it down; shows every record to the watcher."""


def run_on_lab(lab: Path, job: Job, watch: Watch) -> Result:
    """Run ``job`` on the lab in directory ``lab`` while its workloads work: the only place that opens a machine."""
    from vss.cli.loading import loaded_plugins
    from vss.cli.output import warn
    from vss.lab.world import run_in_lab
    from vss.real import RealFiles

    plugins = loaded_plugins()
    run = run_in_lab(RealFiles(), lab, job, plugins.registry, watch=watch, plugins=plugins, under_load=True)
    warn(run.warnings)
    return run.result


class BetestCommand(click.Command):
    """Takes both spellings of every option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Translate the Windows spelling, then let Click parse."""
        return super().parse_args(ctx, normalise(args))


@dataclass(frozen=True, slots=True, kw_only=True)
class BetestOptions:
    """The command line as understood."""

    backup: bool
    restore: bool
    document: Path | None
    destination: Path | None
    type: str
    components_text: Path | None
    components_xml: Path | None
    component: tuple[str, ...]
    bootable_system_state: bool
    previous_document: Path | None
    persistent: bool
    rollback: bool
    snapshot_only: bool
    backup_complete: bool
    no_backup_complete: bool
    authoritative: bool
    stop_on_writer_error: bool
    verify: bool
    verify_on: VerifyOn
    restore_options: str
    new_target: tuple[NewTarget, ...]
    roll_forward: RollForward | None
    restore_name: tuple[Wish, ...]
    to_instance: tuple[Wish, ...]
    then: tuple[Path, ...]
    additional_restores: bool
    provider: str
    throttle: float | None

    def check(self) -> None:
        """Refuse contradictions.

        Raises:
            click.UsageError: the message names both options.
        """
        if self.backup_complete:
            self._check_completion()
            return
        chosen = [
            name
            for name, is_chosen in (("/B", self.backup), ("/R", self.restore), ("/Snapshot", self.snapshot_only))
            if is_chosen
        ]
        if len(chosen) != 1:
            found = " and ".join(chosen) if chosen else "none"
            raise click.UsageError(
                "Say one of '/B' (--backup), '/R' (--restore), '/Snapshot' (--snapshot-only) and '/BC' (--backup-complete); "
                f"found {found}."
            )
        if self.destination is None and not self.snapshot_only:
            raise click.UsageError("'/D' (--destination) is needed: where the files go to, or come from.")
        for option, is_given in self._backup_only():
            if is_given and self.restore:
                raise click.UsageError(f"'{option}' does not go with '/R' (--restore).")
        for option, is_given in self._restore_only():
            if is_given and not self.restore:
                raise click.UsageError(f"'{option}' goes with '/R' (--restore) only.")

    def _check_completion(self) -> None:
        if self.document is None:
            raise click.UsageError("'/BC' (--backup-complete) needs '/S' (--document): which backup is complete.")
        others = [("/B", self.backup), ("/R", self.restore), ("/Snapshot", self.snapshot_only)]
        others += [("/D", self.destination is not None), ("/C", self.components_text is not None)]
        others += [("/X", self.components_xml is not None), ("--component", bool(self.component))]
        others += [("/StopError", self.stop_on_writer_error), ("--throttle", self.throttle is not None)]
        for option, is_given in [*others, *self._backup_only(), *self._restore_only()]:
            if is_given:
                raise click.UsageError(f"'{option}' does not go with '/BC' (--backup-complete).")

    def _backup_only(self) -> list[tuple[str, bool]]:
        return [
            ("/NBC", self.no_backup_complete),
            ("/P", self.persistent),
            ("/Rollback", self.rollback),
            ("/Pre", self.previous_document is not None),
            ("/O", self.bootable_system_state),
            ("--provider", bool(self.provider)),
            ("--verify-on", self.verify_on != "set"),
        ]

    def _restore_only(self) -> list[tuple[str, bool]]:
        return [
            ("/Auth", self.authoritative),
            ("--restore-options", bool(self.restore_options)),
            ("--new-target", bool(self.new_target)),
            ("--roll-forward", self.roll_forward is not None),
            ("--restore-name", bool(self.restore_name)),
            ("--to-instance", bool(self.to_instance)),
            ("--then", bool(self.then)),
            ("--additional-restores", self.additional_restores),
        ]


def make_betest(run_on_machine: RunOnMachine = run_on_lab, files: HostFiles | None = None) -> click.Command:
    """Return the command; tests hand in how a machine is opened and where the named files are read."""

    @click.command("betest", cls=BetestCommand, context_settings={"help_option_names": ["--help"]})
    @click.option("--lab", type=click.Path(path_type=Path, resolve_path=True), required=True, help="The lab's directory.")
    @click.option("--backup", is_flag=True, help="/B: back up.")
    @click.option("--restore", is_flag=True, help="/R: restore.")
    @click.option("--snapshot-only", is_flag=True, help="/Snapshot: take shadow copies, copy nothing.")
    @click.option(
        "--destination", type=click.Path(path_type=Path, resolve_path=True), help="/D: where sets go to, or come from."
    )
    @click.option("--document", type=click.Path(path_type=Path), help="/S: the backup components document to save or load.")
    @click.option(
        "--type",
        type=click.Choice(["FULL", "COPY", "INCREMENTAL", "DIFFERENTIAL", "LOG"], case_sensitive=False),
        default="COPY",
        show_default=True,
        help="/T: backup type. FULL and INCREMENTAL let writers truncate their logs.",
    )
    @click.option("--components-text", type=click.Path(path_type=Path), help="/C: selection file, text form.")
    @click.option("--components-xml", type=click.Path(path_type=Path), help="/X: selection file, XML form.")
    @click.option("--component", multiple=True, help="writer:component to select; may be repeated.")
    @click.option("--bootable-system-state", is_flag=True, help="/O: the backup contains bootable system state.")
    @click.option("--previous-document", type=click.Path(path_type=Path), help="/Pre: document of the backup this builds on.")
    @click.option("--persistent", is_flag=True, help="/P: shadow copies outlive the session.")
    @click.option("--rollback", is_flag=True, help="/Rollback: shadow copies fit for application rollback.")
    @click.option("--backup-complete", is_flag=True, help="/BC: send BackupComplete alone, for /S.")
    @click.option("--no-backup-complete", is_flag=True, help="/NBC: leave BackupComplete out, for /BC.")
    @click.option("--authoritative", is_flag=True, help="/Auth: authoritative restore.")
    @click.option("--stop-on-writer-error", is_flag=True, help="/StopError: end at the first writer that fails.")
    @click.option("--verify/--no-verify", default=True, show_default=True, help="Verify every file and page.")
    @click.option(
        "--verify-on",
        type=click.Choice(["set", "shadow copy", "both"]),
        default="set",
        show_default=True,
        help="Where the writers' verifiers read.",
    )
    @click.option("--restore-options", default="", help="Restore options string, for every component.")
    @click.option("--new-target", multiple=True, callback=many(parse_new_target), help="FILES=DIRECTORY; may be repeated.")
    @click.option("--roll-forward", callback=one(RollForward.parse), help="How far logs are applied: none, all, partial:POINT.")
    @click.option("--restore-name", multiple=True, callback=many(Wish.parse), help="COMPONENT=NAME; may be repeated.")
    @click.option("--to-instance", multiple=True, callback=many(Wish.parse), help="COMPONENT=INSTANCE NAME; may be repeated.")
    @click.option(
        "--then",
        multiple=True,
        type=click.Path(path_type=Path, resolve_path=True),
        help="Restore this set after that of /D: its increments, in order.",
    )
    @click.option("--additional-restores", is_flag=True, help="More sets follow in later calls; writers put recovery off.")
    @click.option("--provider", default="", help="Provider by name or id; the machine chooses by default.")
    @click.option("--throttle", callback=rate, help="Bytes a second for copying and verifying, for example 20MiB.")
    @click.option("--verbose", is_flag=True, help="/V: name every file.")
    @json_option
    @click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
    def betest(lab: Path, verbose: bool, as_json: bool, **options: Any) -> ExitCode:
        """Back up or restore a lab like the field's test requestor.

        Options may be spelt as on Windows (/B /T FULL /D PATH, in any case) or long.
        """
        chosen = BetestOptions(**options)
        chosen.check()
        result = _run(chosen, lab, run_on_machine, _files(files))
        if as_json:
            print_json("summary", command="betest", result=msgspec.to_builtins(result), exit_code=int(result.exit_code))
        else:
            click.echo(_text(result, is_verbose=verbose))
        return ExitCode(result.exit_code)

    return betest


def _text(result: Result, *, is_verbose: bool) -> str:
    if isinstance(result, BackupResult):
        return backup_report(result, is_verbose=is_verbose)
    if isinstance(result, CompletionResult):
        return completion_report(result)
    return restore_report(result, is_verbose=is_verbose)


def _files(files: HostFiles | None) -> HostFiles:
    if files is not None:
        return files
    from vss.real import RealFiles

    return RealFiles()


def _run(options: BetestOptions, lab: Path, run_on_machine: RunOnMachine, files: HostFiles) -> Result:
    records: list[Record] = []
    if options.backup_complete:
        return run_on_machine(lab, _completion_job(options, files, records), records.append)
    components = _components(options, files)
    if options.restore:
        return run_on_machine(lab, _restore_job(options, components, files), records.append)
    return run_on_machine(lab, _backup_job(options, components, files, records), records.append)


def _backup_job(options: BetestOptions, components: tuple[ComponentName, ...], files: HostFiles, records: list[Record]) -> Job:
    previous = _document(options.previous_document, files)

    async def back_up(machine: Machine) -> Result:
        return await BackupRequestor().run(
            machine,
            target=options.destination,
            backup_type=BackupType[options.type.upper()],
            components=components,
            document_file=options.document,
            provider_id=_provider_id(machine, options.provider),
            previous=previous,
            persistent=options.persistent,
            rollback=options.rollback,
            snapshot_only=options.snapshot_only,
            send_backup_complete=not options.no_backup_complete,
            verify=options.verify,
            throttle_bytes_per_s=options.throttle,
            verify_on=options.verify_on,
            stop_on_writer_error=options.stop_on_writer_error,
            bootable_system_state=options.bootable_system_state,
            records=lambda: records,
        )

    return back_up


def _completion_job(options: BetestOptions, files: HostFiles, records: list[Record]) -> Job:
    document = _document(options.document, files)

    async def complete(machine: Machine) -> Result:
        return await CompletionRequestor().run(machine, document=document, records=lambda: records)

    return complete


def _restore_job(options: BetestOptions, components: tuple[ComponentName, ...], files: HostFiles) -> Job:
    document = _document(options.document, files)

    async def restore(machine: Machine) -> Result:
        return await RestoreRequestor().run(
            machine,
            source=options.destination,
            document=document,
            components=components,
            verify=options.verify,
            authoritative=options.authoritative,
            restore_options=options.restore_options,
            new_targets=options.new_target,
            roll_forward=options.roll_forward,
            restore_names=options.restore_name,
            instances=options.to_instance,
            increments=options.then,
            additional_restores=options.additional_restores,
            throttle_bytes_per_s=options.throttle,
        )

    return restore


def _provider_id(machine: Machine, name: str) -> Guid:
    """The provider a person named: an id as it stands, a name as the machine knows it."""
    if not name:
        return GUID_NULL
    try:
        return Guid(name)
    except ValueError:
        look_up = getattr(machine, "provider_id", None)  # labs know their providers by name; the face of machines does not
        if look_up is None:
            raise NotFoundError(f"provider '{name}' is not an id, and this machine knows no provider names") from None
        found: Guid = look_up(name)
        return found


def _components(options: BetestOptions, files: HostFiles) -> tuple[ComponentName, ...]:
    chosen = [ComponentName.parse(each) for each in options.component]
    if options.components_text is not None:
        data = _read(options.components_text, files, SELECTION_SIZE_MAX_BYTES)
        chosen.extend(names_of(parse_selection_text(data, str(options.components_text))))
    if options.components_xml is not None:
        data = _read(options.components_xml, files, SELECTION_SIZE_MAX_BYTES)
        chosen.extend(names_of(parse_selection_xml(data, str(options.components_xml))))
    return tuple(chosen)


def _document(path: Path | None, files: HostFiles) -> BackupComponents | None:
    return None if path is None else parse_backup_components(_read(path, files, MAX_DOCUMENT_BYTES), str(path))


def _read(path: Path, files: HostFiles, limit_bytes: int) -> bytes:
    """Read a file that a person named; one byte more than the limit shows that it is too large."""
    try:
        handle = files.open(path)
        try:
            return handle.pread(0, limit_bytes + 1)
        finally:
            handle.close()
    except FileNotFoundError as error:
        raise NotFoundError(f"file '{path}' does not exist") from error
    except OSError as error:
        raise ConfigurationError(f"file '{path}' cannot be read: {error.strerror}") from error


betest = make_betest()
