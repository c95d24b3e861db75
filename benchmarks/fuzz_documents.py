"""Mutated documents against the parsers: a dataclass or a ``DocumentError`` must come out, nothing else, and quickly.

    python benchmarks/fuzz_documents.py [--inputs 1000000] [--seed 0]

Deterministic: the same seed gives the same inputs. What a parser accepts is written and read again and must be the same. Set
``VSS_GOLDEN`` to the directory of the reference files to add documents written by Windows to the corpus.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vss.documents import (
    AlternateLocationMapping,
    BackupComponents,
    BackupSchema,
    BackupType,
    Component,
    ComponentDependency,
    ComponentType,
    DifferencedFile,
    DirectedTarget,
    ExcludedFiles,
    FileRestoreStatus,
    FileSpec,
    FileSpecKind,
    NewTarget,
    PartialFile,
    RestoreMethod,
    RestoreMethodKind,
    RestoreSubcomponent,
    RestoreTarget,
    RollForwardType,
    SelectedComponent,
    SnapshotDescription,
    SourceType,
    UsageType,
    WriterComponents,
    WriterMetadata,
    WriterRestore,
)
from vss.documents.selection_file import parse_selection_text, parse_selection_xml
from vss.documents.xml import (
    parse_backup_components,
    parse_writer_metadata,
    render_backup_components,
    render_writer_metadata,
)
from vss.errors import DocumentError
from vss.ids import Guid

WRITER = Guid(int=0x11111111222233334444555555555555)
INSTANCE = Guid(int=0xAAAAAAAA000000000000000000000001)

TOKENS = (
    b"<",
    b">",
    b"/>",
    b'"',
    b"'",
    b"=",
    b"&",
    b"&amp;",
    b"&#0;",
    b"&#x10FFFF;",
    b"&lol;",
    b"<!DOCTYPE a [",
    b'<!ENTITY a "b">',
    b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'>",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<?xml version='1.0' encoding='utf-7'?>",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x00",
    b"\r\n",
    b"<a>" * 70,
    b'xmlns="" ',
    b'xmlns:x="y" ',
    b"<FILE_GROUP/>",
    b"<COMPONENT/>",
    b"<BACKUP_METADATA xmlns='' metadata='!'/>",
    b'recursive="maybe" ',
    b'"yes"',
    b'"99999999999999999999"',
    b'"-1"',
    b'writerid="x"',
    b";",
    b":",
    b" " * 5000,
)


@dataclass(frozen=True, slots=True)
class Target:
    """One parser, inputs to mutate, and (for documents) what writes its result again."""

    parse: Callable[[bytes], Any]
    corpus: tuple[bytes, ...]
    render: Callable[[Any], bytes] | None = None


def sample_metadata() -> WriterMetadata:
    """Return a document that uses everything the vocabulary has."""
    return WriterMetadata(
        writer_id=WRITER,
        instance_id=INSTANCE,
        friendly_name="Demo <Store> & Writer",
        usage=UsageType.USER_DATA,
        source=SourceType.TRANSACTION_DB,
        instance_name="Demo:one",
        major_version=1,
        minor_version=2,
        backup_schema=BackupSchema.COPY | BackupSchema.DIFFERENTIAL,
        restore_method=RestoreMethod(
            RestoreMethodKind.STOP_RESTORE_START,
            WriterRestore.IF_REPLACE_FAILS,
            reboot_required=True,
            service="demo",
            user_procedure="again",
            mappings=(AlternateLocationMapping("D:\\demo", "*.dat", True, "E:\\other"),),
        ),
        components=(
            Component(
                ComponentType.DATABASE,
                "db1",
                "Server\\One",
                "first\nline",
                files=(
                    FileSpec("D:\\demo", "db1.dat", kind=FileSpecKind.DATABASE_FILES),
                    FileSpec("E:\\demo", "db1*.log", kind=FileSpecKind.DATABASE_LOG_FILES, backup_type_mask=0x101),
                ),
                dependencies=(ComponentDependency(INSTANCE, "Other", "thing"),),
            ),
            Component(
                ComponentType.FILE_GROUP,
                "files",
                files=(FileSpec("D:\\files", "*", recursive=True, alternate_location="D:\\spit"),),
                selectable=False,
            ),
        ),
        excluded=(ExcludedFiles("D:\\demo", "*.tmp", True), ExcludedFiles("D:\\demo", "*.bak", from_snapshot=True)),
    )


def sample_document() -> BackupComponents:
    """Return a document that uses everything the vocabulary has."""
    component = SelectedComponent(
        ComponentType.DATABASE,
        "db1",
        "Server\\One",
        backup_succeeded=True,
        backup_stamp=b"\x08\0\0\0stamp",
        previous_backup_stamp=b"older",
        backup_metadata=b"private",
        restore_metadata=b"later",
        backup_options="a",
        restore_options='"Authoritative"="All"',
        partial_files=(PartialFile("D:\\demo", "db1.dat", "0:5,100:20", "m"),),
        differenced_files=(DifferencedFile("D:\\demo", "*.dat", True, (1 << 64) - 1),),
        selected_for_restore=True,
        additional_restores=True,
        authoritative_restore=True,
        roll_forward=RollForwardType.PARTIAL,
        roll_forward_point="2026-01-05T08:00",
        restore_name="Server\\Renamed",
        restore_target=RestoreTarget.ORIGINAL_LOCATION,
        file_restore_status=FileRestoreStatus.FAILED,
        new_targets=(NewTarget("D:\\demo", "*.dat", True, "F:\\"),),
        directed_targets=(DirectedTarget("D:\\", "a", "0:1", "E:\\", "b", "1:1"),),
        restore_subcomponents=(RestoreSubcomponent("Server\\One\\db1", "part", True),),
        mappings_used=(AlternateLocationMapping("D:\\demo", "*.dat", False, "E:\\other"),),
        prepare_for_backup_failure="1",
        post_snapshot_failure="2",
        pre_restore_failure="3",
        post_restore_failure="4",
    )
    travelling = SnapshotDescription(
        snapshot_id=Guid(int=8),
        provider_id=Guid(int=9),
        original_volume="D:",
        original_volume_id=Guid(int=10),
        snapshots_in_set=1,
        created_ns=1 << 60,
        attributes=0x10020,
        context=0,
        size_bytes=1 << 40,
        originating_machine="EX1",
        lun_id="naa.6000c29",
    )
    other = SelectedComponent(ComponentType.FILE_GROUP, "files", backup_succeeded=False)
    return BackupComponents(
        BackupType.FULL,
        bootable_system_state=True,
        partial_file_support=True,
        snapshot_set_id=Guid(int=7),
        snapshots=(travelling,),
        writers=(WriterComponents(WRITER, INSTANCE, "Demo:one", BackupSchema.COPY, (component, other)),),
    )


def targets(golden: Path | None = None) -> tuple[Target, ...]:
    """Return the parsers with their corpora; ``golden`` is the directory of the reference files."""
    metadata, document = [render_writer_metadata(sample_metadata())], [render_backup_components(sample_document())]
    metadata.append(metadata[0].decode().encode("utf-16"))
    for path in sorted((golden / "xml").glob("*.xml")) if golden else ():
        (document if path.name.startswith("BC") else metadata).append(path.read_bytes())
    text = f'"{WRITER}" : "db1", "Server\\One\\db2";\n"{INSTANCE}":"x";'.encode()
    xml = f'<BETest>\n<Writer writerid="{WRITER}"><Component componentName="a" logicalPath="b"/></Writer></BETest>'.encode()
    return (
        Target(parse_writer_metadata, tuple(metadata), render_writer_metadata),
        Target(parse_backup_components, tuple(document), render_backup_components),
        Target(parse_selection_text, (text,)),
        Target(parse_selection_xml, (xml,)),
    )


def mutate(data: bytes, stream: random.Random) -> bytes:
    """Return ``data`` with one to four small changes."""
    result = bytearray(data)
    for _ in range(stream.randint(1, 4)):
        start = stream.randrange(len(result) + 1)
        end = min(len(result), start + stream.choice((1, 1, 2, 8, 60)))
        match stream.randrange(6):
            case 0:
                result[start:start] = stream.choice(TOKENS)
            case 1:
                result[start:end] = b""
            case 2:
                result[start:end] = result[start:end] * 3
            case 3:
                result[start:end] = stream.randbytes(end - start)
            case 4:
                # Between two tags, where structure is: an element twice, moved or gone.
                pieces = bytes(result).split(b"<")
                number = stream.randrange(len(pieces))
                pieces[number : number + 1] = stream.choice(([], [pieces[number]] * 2, [pieces[-1], pieces[number]]))
                result = bytearray(b"<".join(pieces))
            case _:
                where = result.find(b'"', start)
                result[where : where + 1] = stream.choice((b"", b"'", b'""', b'"x'))
    return bytes(result)


def inputs(count: int, seed: int, golden: Path | None = None) -> Iterator[tuple[Target, bytes]]:
    """Yield ``count`` mutated inputs and the parser each is meant for."""
    stream = random.Random(seed)
    choices = targets(golden)
    for _ in range(count):
        target = stream.choice(choices)
        yield target, mutate(stream.choice(target.corpus), stream)


def judge(target: Target, data: bytes) -> str:
    """Parse ``data`` and say what came of it; any exception but ``DocumentError`` goes through."""
    try:
        value = target.parse(data)
    except DocumentError:
        return "refused"
    if target.render is not None:
        again = target.parse(target.render(value))
        assert again == value, f"written and read again, {value!r} became {again!r}"
    return "accepted"


def run(count: int, seed: int, golden: Path | None = None) -> dict[str, float | int]:
    """Judge ``count`` inputs; return how many were accepted and refused by each parser, and how fast.

    Raises:
        AssertionError: a parser did something else; names the input, its number and the seed.
    """
    outcomes: Counter[str] = Counter()
    slowest_s = 0.0
    started = time.perf_counter()
    for number, (target, data) in enumerate(inputs(count, seed, golden)):
        before = time.perf_counter()
        try:
            outcomes[f"{target.parse.__name__}_{judge(target, data)}"] += 1
        except Exception as error:
            raise AssertionError(f"input {number} of seed {seed}: {error!r}\n{data!r}") from error
        slowest_s = max(slowest_s, time.perf_counter() - before)
    rate = round(count / (time.perf_counter() - started))
    return {"inputs": count, "inputs_per_s": rate, "slowest_ms": round(slowest_s * 1000, 1), **dict(sorted(outcomes.items()))}


def measure() -> dict[str, float | int]:
    """For ``benchmarks/run.py``: a short run."""
    return run(20_000, seed=0)


def main() -> None:
    """Run the fuzzer and print what happened."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--inputs", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    golden = Path(os.environ["VSS_GOLDEN"]) if "VSS_GOLDEN" in os.environ else None
    for name, value in run(arguments.inputs, arguments.seed, golden).items():
        print(f"{value:12} {name}")


if __name__ == "__main__":
    main()
