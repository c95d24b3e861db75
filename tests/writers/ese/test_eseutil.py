"""The tool: labels and order of its dumps, verdicts of its checks, recovery, spellings, exit codes, JSON."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from tests.writers.ese.store_kit import Clock, add, add_table, body, content, new_store, open_instance, reopen, rows
from vss_writers.ese.backup_set import RestoreTarget, restore_backup_set, write_backup_set
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.eseutil import command
from vss_writers.ese.eseutil.arguments import parse
from vss_writers.ese.eseutil.command import EXIT_FAILURE, EXIT_MISMATCH, EXIT_NOT_FOUND, EXIT_USAGE, exit_code_of
from vss_writers.ese.eseutil.labels import backup_lines, counter_text, state_text
from vss_writers.ese.files import HostFileSystem
from vss_writers.ese.header_values import BackupInfo, LogPosition
from vss_writers.ese.layout import BackupType
from vss_writers.ese.log_profile import LogProfile
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.truncation import SnapshotKind


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store on the host, backed up once, abandoned with work in its logs."""
    root = tmp_path_factory.mktemp("store")

    async def main() -> None:
        instance, _, table = await new_store(HostFileSystem(), parameters(root), path=str(root / "db.edb"))
        await add(instance, table, 0, 200)
        instance.snapshot.prepare(SnapshotKind.FULL)
        await instance.snapshot.freeze()
        await instance.snapshot.thaw()
        await instance.snapshot.end(success=True)
        await add(instance, table, 200, 200)
        instance.abandon()

    asyncio.run(main())
    return root


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    """A copy to be changed; paths inside the logs still mean the original."""
    target = tmp_path / "store"
    shutil.copytree(built, target)
    return target


def parameters(root: Path) -> InstanceParameters:
    return InstanceParameters(
        "E00", str(root / "logs"), log_file_size=65536, page_size=4096, checkpoint_depth=100_000, cache_pages=50
    )


def eseutil(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def data_of(result: Result) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(result.output)
    assert data["schema"] == "vss.cli/1"
    assert data["command"] == "eseutil"
    return data


def labels_in_order(text: str, labels: list[str]) -> None:
    position = 0
    for label in labels:
        found = text.find(label, position)
        assert found >= 0, f"{label!r} is missing behind {position}"
        position = found + len(label)


def flip(path: Path, offset: int, bits: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= bits
    path.write_bytes(bytes(data))


# -- /mh -----------------------------------------------------------------------------------------------------------------------


def test_mh_prints_the_labels_in_the_tools_order(store: Path) -> None:
    result = eseutil("/mh", store / "db.edb")

    assert result.exit_code == 0
    labels_in_order(
        result.output,
        [
            "DATABASE HEADER:",
            "File Type: Database",
            "Checksum: 0x",
            "Format ulMagic: 0x89abcdef",
            "Engine ulMagic: 0x89abcdef",
            "Format ulVersion: 0x620,12",
            "Engine ulVersion: 0x620,12",
            "Created ulVersion: 0x620,12",
            "DB Signature: Create time:01/01/2007 12:00:",
            "cbDbPage: 4096",
            "dbtime: ",
            "State: Dirty Shutdown",
            "Log Required: ",
            "Log Committed: ",
            "Streaming File: No",
            "Shadowed: Yes",
            "Last Objid: ",
            "Scrub Dbtime: 0 (0x0)",
            "Scrub Date: 00/00/1900 00:00:00",
            "Repair Count: 0",
            "Repair Date: ",
            "Old Repair Count: 0",
            "Last Consistent: ",
            "Last Attach: (0x1,",
            "Last Detach: (0x0,0,0) 00/00/1900 00:00:00",
            "Dbid: 1",
            "Log Signature: Create time:",
            "OS Version: ",
            "Previous Full Backup:",
            " - OSSnapshot",
            "Mark: (0x",
            "Mark: 01/01/2007",
            "Previous Incremental Backup:",
            "Log Gen: 0-0 (0x0-0x0)",
            "Previous Copy Backup:",
            "Previous Differential Backup:",
            "Current Full Backup:",
            "Current Shadow copy backup:",
            "cpgUpgrade55Format: 0",
            "cpgUpgradeFreePages: 0",
            "cpgUpgradeSpaceMapPages: 0",
            "ECC Fix Success Count: none",
            "Old ECC Fix Success Count: none",
            "ECC Fix Error Count: none",
            "Bad Checksum Error Count: none",
            "Operation completed successfully.",
        ],
    )


@pytest.mark.parametrize("spelling", ["/mh", "-mh", "--mh", "/MH"])
def test_mh_as_data_in_every_spelling(store: Path, spelling: str) -> None:
    data = data_of(eseutil("--json", spelling, store / "db.edb"))

    assert data["state"] == "Dirty Shutdown"
    assert data["page_size"] == 4096
    assert data["previous_full_backup"]["type"] == "os_snapshot"
    assert data["previous_copy_backup"] is None
    assert data["damaged_headers"] == []
    assert data["generation_min_required"] <= data["generation_max_required"]
    assert data["jet_error"] == 0


def test_mh_falls_back_to_the_shadow(store: Path) -> None:
    flip(store / "db.edb", 200)

    result = eseutil("/mh", store / "db.edb")

    assert result.exit_code == 0
    assert "Primary header is damaged" in result.output
    flip(store / "db.edb", 200)
    flip(store / "db.edb", 4096 + 200)
    assert "Shadow header is damaged" in eseutil("/mh", store / "db.edb").output
    flip(store / "db.edb", 200)
    result = eseutil("/mh", store / "db.edb")
    assert result.exit_code == EXIT_MISMATCH
    assert "-1206" in result.output


# -- /mk, /ml ------------------------------------------------------------------------------------------------------------------


def test_mk_prints_the_checkpoint(store: Path) -> None:
    result = eseutil("/mk", store / "logs" / "E00.chk")

    assert result.exit_code == 0
    labels_in_order(
        result.output,
        [
            "Checkpoint file: ",
            "LastFullBackupCheckpoint: (0x",
            "Checkpoint: (0x",
            "FullBackup: (0x",
            "FullBackup time: 01/01/2007",
            "IncBackup: (0x0,0,0)",
            "IncBackup time: 00/00/1900",
            "Signature: Create time:",
            "Env (CircLog,Session,Opentbl,VerPage,Cursors,LogBufs,LogFile,Buffers): (off,20,300,64,2000,1024,128,50)",
            "db.edb",
        ],
    )
    data = data_of(eseutil("--json", "/mk", store / "logs" / "E00.chk"))
    assert data["attachments"][0]["dbid"] == 1
    assert data["generation"] >= 1


def test_mk_of_damaged_and_missing_files(store: Path) -> None:
    path = store / "logs" / "E00.chk"
    flip(path, 100)
    flip(path, 5000)
    result = eseutil("/mk", path)
    assert result.exit_code == EXIT_MISMATCH
    assert "-533" in result.output
    path.unlink()
    result = eseutil("--json", "/mk", path)
    assert result.exit_code == EXIT_NOT_FOUND
    assert data_of(result)["jet_name"] == "JET_errCheckpointFileNotFound"


def test_ml_of_one_log(store: Path) -> None:
    path = store / "logs" / "E0000000002.log"

    result = eseutil("/ml", path)

    assert result.exit_code == 0
    labels_in_order(
        result.output,
        [
            "Base name: E00",
            f"Log file: {path}",
            "lGeneration: 2 (0x2)",
            "Checkpoint: (0x",
            "creation time: 01/01/2007",
            "prev gen time: 01/01/2007",
            "Format LGVersion: (7.3704.12)",
            "Engine LGVersion: (7.3704.12)",
            "Signature: Create time:",
            "Env SystemPath: ",
            "Env LogFilePath: ",
            "Env Log Sec size: 512",
            "Env (CircLog",
            "Using Reserved Log File: false",
            "Circular Logging Flag (current file): off",
            "Circular Logging Flag (past files): off",
            "db.edb",
            "Last Lgpos: (0x2,",
            "Integrity check passed for log file:",
        ],
    )
    data = data_of(eseutil("--json", "/ml", path))
    assert data["is_whole"] is True
    assert data["records"] > 10


def test_ml_of_a_damaged_log(store: Path) -> None:
    path = store / "logs" / "E0000000002.log"
    flip(path, 9000)

    result = eseutil("/ml", path)

    assert result.exit_code == EXIT_MISMATCH
    assert "-501" in result.output
    assert "Operation terminated with error -501 (JET_errLogFileCorrupt" in result.output
    flip(path, 10)
    assert eseutil("/ml", path).exit_code == EXIT_MISMATCH


def test_ml_of_a_set(store: Path) -> None:
    result = eseutil("/ml", store / "logs" / "E00")

    assert result.exit_code == 0
    assert result.output.count("- OK") == len(list((store / "logs").glob("E00*.log"))) - 1
    assert "No damaged log files were found." in result.output


@pytest.mark.parametrize(
    ("damage", "code"), [("gap", "-528"), ("swap", "-513"), ("flip", "-501"), ("foreign", "-530"), ("open end", "-501")]
)
def test_ml_of_a_bad_set(store: Path, damage: str, code: str) -> None:
    logs = store / "logs"
    second, third = logs / "E0000000002.log", logs / "E0000000003.log"
    if damage == "gap":
        second.unlink()
    elif damage == "swap":
        content_of_second = second.read_bytes()
        second.write_bytes(third.read_bytes())
        third.write_bytes(content_of_second)
    elif damage == "flip":
        flip(second, 9000)
    elif damage == "foreign":
        other = store / "other"

        async def main() -> None:
            instance = await open_instance(HostFileSystem(), parameters(other))
            await instance.stream.roll_over()
            await instance.stream.roll_over()
            await instance.close()

        asyncio.run(main())
        data = bytearray((other / "logs" / "E0000000002.log").read_bytes())
        second.write_bytes(_with_signature(bytes(data), 5))
    else:
        second.write_bytes((logs / "E00.log").read_bytes())

    result = eseutil("/ml", logs / "E00")

    assert result.exit_code == EXIT_MISMATCH
    assert code in result.output or damage == "open end"
    assert "Damaged or missing log files were found." in result.output
    assert data_of(eseutil("--json", "/ml", logs / "E00"))["ok"] is False


def _with_signature(data: bytes, number: int) -> bytes:
    from dataclasses import replace

    from vss_writers.ese.log_file import LogHeader

    header = LogHeader.unpack(data)
    return replace(header, signature=replace(header.signature, random=number)).pack() + data[4096:]


def test_ml_of_nothing(tmp_path: Path) -> None:
    assert eseutil("/ml", tmp_path / "E00").exit_code == EXIT_NOT_FOUND
    assert eseutil("/ml", tmp_path / "E0000000001.log").exit_code == EXIT_NOT_FOUND


# -- /k ------------------------------------------------------------------------------------------------------------------------


def test_k_counts_pages(store: Path) -> None:
    result = eseutil("/k", store / "db.edb")

    assert result.exit_code == 0
    labels_in_order(
        result.output,
        [
            "pages seen",
            "0 bad checksums",
            "0 correctable checksums",
            "uninitialized pages",
            "0 wrong page numbers",
            "highest dbtime",
            "reads performed",
            "MB read",
            "The file is good.",
        ],
    )


@pytest.mark.parametrize(("bits", "exit_code", "words"), [(0x10, 0, "1 correctable"), (0x11, EXIT_MISMATCH, "1 bad")])
def test_k_tells_one_wrong_bit_from_two(store: Path, bits: int, exit_code: int, words: str) -> None:
    flip(store / "db.edb", 5 * 4096 + 100, bits)

    result = eseutil("/k", store / "db.edb")

    assert result.exit_code == exit_code
    assert words in result.output
    data = data_of(eseutil("--json", "/k", store / "db.edb"))
    assert data["findings"][0]["page"] == 4
    assert data["findings"][0]["code"] == -1018
    assert data["jet_error"] == (0 if exit_code == 0 else -1018)


def test_k_of_logs_checkpoints_and_headers(store: Path) -> None:
    logs = store / "logs"
    for target in (logs / "E0000000001.log", logs / "E00.log", logs / "E00.chk", logs / "E00"):
        assert eseutil("/k", target).exit_code == 0, target
    flip(logs / "E00.chk", 100)
    flip(logs / "E00.chk", 5000)
    assert eseutil("/k", logs / "E00.chk").exit_code == EXIT_MISMATCH
    (logs / "E00.chk").unlink()
    assert eseutil("/k", logs / "E00.chk").exit_code == EXIT_NOT_FOUND
    assert eseutil("/k", store / "none.edb").exit_code == EXIT_NOT_FOUND
    (store / "short.edb").write_bytes((store / "db.edb").read_bytes()[:8192])
    result = eseutil("/k", store / "short.edb")
    assert result.exit_code == EXIT_MISMATCH
    assert "The file is damaged." in result.output


# -- /r ------------------------------------------------------------------------------------------------------------------------


def test_r_recovers_and_the_rows_are_there(tmp_path: Path) -> None:
    async def build() -> None:
        instance, _, table = await new_store(HostFileSystem(), parameters(tmp_path), path=str(tmp_path / "db.edb"))
        await add(instance, table, 0, 30)
        instance.abandon()

    asyncio.run(build())
    result = eseutil("/r", "E00", "/l", tmp_path / "logs", "/s", tmp_path / "logs")

    assert result.exit_code == 0, result.output
    assert "Initiating RECOVERY mode..." in result.output
    assert f"Recovered: {tmp_path / 'db.edb'}" in result.output
    assert "Clean Shutdown" in eseutil("/mh", tmp_path / "db.edb").output

    async def read() -> dict[int, bytes]:
        _, _, table = await reopen(HostFileSystem(), parameters(tmp_path), path=str(tmp_path / "db.edb"))
        return await content(table)

    assert asyncio.run(read()) == rows(0, 30)


def test_r_finds_moved_databases_and_ignores_missing_ones(store: Path, built: Path) -> None:
    logs = store / "logs"
    moved = store / "moved"
    moved.mkdir()
    (store / "db.edb").rename(moved / "db.edb")

    data = data_of(eseutil("--json", "/r", "E00", f"/l:{logs}", "/d", moved))

    assert data["databases"] == [str(moved / "db.edb")]
    assert data["generation_last"] >= data["generation_first"]
    assert built.exists()


def test_r_refuses_and_says_why(store: Path, tmp_path: Path) -> None:
    logs = store / "logs"
    (logs / "E00.chk").unlink()
    (logs / "E0000000002.log").unlink()
    result = eseutil("/r", "E00", "/l", logs, "/d", store)
    assert result.exit_code == EXIT_FAILURE
    assert "-528" in result.output or "-543" in result.output
    assert eseutil("/r", "E00", "/l", tmp_path).exit_code == EXIT_NOT_FOUND


def test_r_with_a_missing_database(tmp_path: Path) -> None:
    async def build() -> None:
        instance, _, table = await new_store(HostFileSystem(), parameters(tmp_path), path=str(tmp_path / "db.edb"))
        other = await instance.create_database(str(tmp_path / "other.edb"))
        await add(instance, table, 0, 300)
        await add(instance, await add_table(instance, other), 0, 300)
        instance.abandon()

    asyncio.run(build())
    (tmp_path / "other.edb").unlink()
    result = eseutil("/r", tmp_path / "logs" / "E00")
    assert result.exit_code == EXIT_FAILURE
    assert "-1216" in result.output
    result = eseutil("/r", tmp_path / "logs" / "E00", "/i", "/a")
    assert result.exit_code == 0, result.output
    assert "Missing, ignored: " in result.output
    assert "Event 494" in result.output


def test_r_stops_before_undo_when_told_to(tmp_path: Path) -> None:
    async def build() -> None:
        instance, _, table = await new_store(HostFileSystem(), parameters(tmp_path), path=str(tmp_path / "db.edb"))
        await add(instance, table, 0, 30)
        instance.abandon()

    asyncio.run(build())
    base = tmp_path / "logs" / "E00"
    result = eseutil("/r", base, "/u")
    assert result.exit_code == EXIT_FAILURE
    assert "-579" in result.output
    assert "Dirty Shutdown" in eseutil("/mh", tmp_path / "db.edb").output
    assert eseutil("/r", base).exit_code == 0
    assert data_of(eseutil("--json", "/r", base, "/u"))["jet_error"] == -584


def test_r_reads_names_of_five_digits_and_refuses_to_be_told_otherwise(tmp_path: Path) -> None:
    older = replace(parameters(tmp_path), profile=LogProfile.EXCHANGE_2003)

    async def build(count: int) -> None:
        instance, _, table = await new_store(HostFileSystem(), older, path=str(tmp_path / f"db{count}.edb"))
        await add(instance, table, 0, count)
        instance.abandon()

    base = tmp_path / "logs" / "E00"
    asyncio.run(build(1))
    assert eseutil("/r", base).exit_code == 0, "only the reserve logs tell"
    asyncio.run(build(300))
    assert (tmp_path / "logs" / "E0000001.log").exists()
    result = eseutil("/r", base, "/c8")
    assert result.exit_code == EXIT_FAILURE
    assert "E0000001.log" in result.output
    result = eseutil("/r", base, "/8")
    assert result.exit_code == EXIT_FAILURE
    assert "-1213" in result.output
    assert "pages of 8192 bytes expected, found 4096" in result.output
    assert eseutil("/r", base, "/c5", "/4").exit_code == 0
    assert eseutil("/r", base).exit_code == 0
    assert eseutil("/ml", base).exit_code == 0


# -- spelling ------------------------------------------------------------------------------------------------------------------


def test_options_with_joined_and_following_values() -> None:
    request = parse(["/r", "E00", "/l/srv/logs".replace("/l/", "/l:/"), "-s", "sys", "--i", "/A"])

    assert (request.mode, request.target) == ("r", "E00")
    assert request.options == {"l": "/srv/logs", "s": "sys", "i": "", "a": ""}
    assert parse(["/mh", "/srv/db.edb"]).target == "/srv/db.edb"
    assert parse(["-k", "db.edb"]).target == "db.edb"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["db.edb"],
        ["/mh"],
        ["/mh", "a", "b"],
        ["/zz", "a"],
        ["/r", "E00", "/q"],
        ["/r", "E00", "/l"],
        ["/r", "E00", "/c6"],
        ["/r", "E00", "/c"],
        ["/r", "E00", "/u5"],
    ],
)
def test_wrong_spelling_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse(arguments)
    assert eseutil(*arguments).exit_code == EXIT_USAGE


def test_help_names_the_modes() -> None:
    result = eseutil("--help")

    assert result.exit_code == 0
    assert "/mh FILE" in result.output


def test_small_words() -> None:
    assert counter_text(3) == "found (3)"
    assert state_text(99) == "Unknown (99)"
    assert backup_lines("X", BackupInfo(LogPosition(1, 2, 3), generation_low=1, generation_high=2), BackupType.SURROGATE)[
        1
    ].endswith("1-2 (0x1-0x2) - Surrogate")
    assert exit_code_of(JetError(JetCode.RequiredLogFilesMissing)) == EXIT_FAILURE


# -- /cm, /cc ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def restored(tmp_path: Path) -> Path:
    """A database put back from a streaming set, its logs in a temporary directory, later logs with the stopped instance."""
    files = HostFileSystem()
    database = str(tmp_path / "db.edb")

    async def main() -> None:
        instance, _, table = await new_store(files, parameters(tmp_path), path=database)
        await add(instance, table, 0, 60)
        await write_backup_set(instance, files, str(tmp_path / "set"), annotation="nightly", guids={database: "guid-1"})
        await add(instance, table, 60, 60)
        await instance.close()
        target = RestoreTarget(str(tmp_path / "temporary"), may_overwrite=True)
        await restore_backup_set(files, str(tmp_path / "set"), files, target, now=Clock(), is_last=False)

    asyncio.run(main())
    return tmp_path


def rows_there(root: Path) -> dict[int, bytes]:
    async def main() -> dict[int, bytes]:
        instance, _, table = await reopen(HostFileSystem(), parameters(root), path=str(root / "db.edb"))
        found = await content(table)
        await instance.close()
        return found

    return asyncio.run(main())


def test_cm_prints_the_environment(restored: Path) -> None:
    result = eseutil("/cm", restored / "temporary")
    assert result.exit_code == 0
    labels_in_order(
        result.output,
        [
            f"Restore Log Path: {restored / 'temporary'}",
            "Annotation: nightly",
            "Server:",
            "Backup Instance: E00",
            "Target Instance: E00",
            "Restore Instance System Path:",
            f"Restore Instance Log Path: {restored / 'logs'}",
            "Databases: 1 database(s)",
            "Database Name: db.edb",
            "GUID: guid-1",
            f"Source Files: {restored / 'db.edb'}",
            f"Destination Files: {restored / 'db.edb'}",
            "Log files range: E00",
            "Last Restore Time: 01/01/2007",
            "Recover Status: recoverNotStarted",
            "Recover Error: 0x00000000",
            "Recover Time: 00/00/1900 00:00:00",
        ],
    )
    data = data_of(eseutil("-cm", restored / "temporary", "--json"))
    assert data["status"] == "recoverNotStarted"
    assert data["databases"][0]["guid"] == "guid-1"
    assert eseutil("/cm", restored).exit_code == EXIT_NOT_FOUND


def test_cc_replays_the_set_and_then_the_logs_of_the_instance(restored: Path) -> None:
    data = data_of(eseutil("/cc", restored / "temporary", "/k", "--json"))
    assert data["played_forward_last"] > data["generation_last"]
    assert "recoverEnded" in eseutil("/cm", restored / "temporary").output
    assert eseutil("/cc", restored / "temporary").exit_code == 0
    assert not list((restored / "temporary").iterdir())
    assert rows_there(restored) == rows(0, 120)


def test_cc_without_a_target_stops_at_the_end_of_the_set(restored: Path) -> None:
    result = eseutil("/cc", restored / "temporary", "/t")
    assert result.exit_code == 0
    assert "Restore without a target instance" in result.output
    assert "Played forward" not in result.output
    shutil.rmtree(restored / "logs")
    assert rows_there(restored) == rows(0, 60)


def test_cc_plays_logs_from_elsewhere(restored: Path) -> None:
    (restored / "logs").rename(restored / "elsewhere")
    result = eseutil("/cc", restored / "temporary", "/t", "/f", restored / "elsewhere")
    assert "Played forward from:" in result.output
    (restored / "elsewhere").rename(restored / "logs")
    assert rows_there(restored) == rows(0, 120)


def test_cc_refuses_and_the_environment_remembers(restored: Path) -> None:
    first = min((restored / "temporary").glob("E00*.log"))
    first.unlink()
    result = eseutil("/cc", restored / "temporary")
    assert result.exit_code == EXIT_FAILURE
    assert "JET_errStartingRestoreLogTooHigh" in result.output or "JET_errMissingRestoreLogFiles" in result.output
    assert "Recover Error: -55" in eseutil("/cm", restored / "temporary").output


# -- /p, /d --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """A cleanly closed database in which most rows were deleted."""
    path = tmp_path / "db.edb"

    async def main() -> None:
        instance, _, table = await new_store(HostFileSystem(), parameters(tmp_path), path=str(path))
        async with instance.transaction() as transaction:
            for number in range(800):
                await table.insert(transaction, {"Id": number, "Body": body(number)})
        async with instance.transaction() as transaction:
            for number in range(780):
                await table.delete(transaction, table.key("ById", number))
        await instance.close()

    asyncio.run(main())
    return path


def test_d_makes_the_file_smaller(clean: Path) -> None:
    before = clean.stat().st_size
    result = eseutil("/d", clean, "/b", clean.parent / "copy.edb")
    assert result.exit_code == 0
    assert "Table Notes: 20 rows" in result.output
    assert clean.stat().st_size < before == (clean.parent / "copy.edb").stat().st_size
    assert data_of(eseutil("/k", clean, "--json"))["ok"]
    assert rows_there(clean.parent) == rows(780, 20)
    assert eseutil("/d", clean, "/b", clean.parent / "copy.edb").exit_code == EXIT_FAILURE


def test_d_can_leave_the_new_file_beside_the_old_one(clean: Path) -> None:
    data = data_of(eseutil("/d", clean, "/p", "/t", clean.parent / "new.edb", "--json"))
    assert data["result"] == str(clean.parent / "new.edb")
    assert data["size_after"] < data["size_before"] == clean.stat().st_size


def test_p_keeps_what_it_can_and_says_what_is_lost(clean: Path) -> None:
    signature = data_of(eseutil("/mh", clean, "--json"))["signature"]
    blank = bytes(4096)
    pages = [
        number for number in range(20, clean.stat().st_size // 4096) if clean.read_bytes()[number * 4096 :][:4096] != blank
    ]
    for number in pages[-3:]:
        flip(clean, number * 4096 + 500)
        flip(clean, number * 4096 + 900)
    result = eseutil("/p", clean)
    assert result.exit_code == 0
    assert "Event 500: a page is lost" in result.output
    assert "Take a full backup now" in result.output
    header = data_of(eseutil("/mh", clean, "--json"))
    assert header["repair_count"] == 1
    assert header["signature"] != signature
    data = data_of(eseutil("/p", clean, "--json"))
    assert not data["has_losses"]
    assert data_of(eseutil("/mh", clean, "--json"))["repair_count"] == 2


def test_p_without_headers_and_many_losses(clean: Path) -> None:
    data = bytearray(clean.read_bytes())
    data[: 2 * 4096] = bytes(2 * 4096)
    for number in range(60):
        data[-4096 * (number + 1) + 500] ^= 3
        data[-4096 * (number + 1) + 1500] ^= 3
    clean.write_bytes(bytes(data))
    result = eseutil("/p", clean)
    assert result.exit_code == 0
    assert "and" in result.output
    assert eseutil("/p", clean.parent / "no.edb").exit_code == EXIT_NOT_FOUND
    clean.write_bytes(clean.read_bytes()[:8] + b"\x21" + clean.read_bytes()[9:4096] * 2)
    assert eseutil("/p", clean).exit_code != 0
