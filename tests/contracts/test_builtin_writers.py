"""The writers that ship with the project, and the example of a third party's, under the writer contract."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vss.documents import (
    Component,
    ComponentType,
    FileSpec,
    RestoreMethod,
    RestoreMethodKind,
    SourceType,
    UsageType,
    WriterMetadata,
    WriterRestore,
)
from vss.ids import GUID_NULL
from vss.plugins.hosts import WriterHost
from vss.roles.express import ExpressWriter
from vss.roles.verifier import Verifier
from vss.roles.writer import Writer
from vss.testing import StubWriter, WriterContract, stub_guid
from vss_writers.exchange.mailboxes import Mailboxes
from vss_writers.exchange.verifier import ExchangeVerifier
from vss_writers.exchange.writer import ExchangeWriter, make_exchange_writer
from vss_writers.scripted.verifier import ScriptedVerifier
from vss_writers.scripted.writer import make_scripted_writer

ROOT = Path(__file__).parents[2]


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / "vss-writer-notes" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NOTES = example("vss_writer_notes")


class TestStubWriter(WriterContract):
    """The stub of ``vss.testing``: keeps every rule because it has no substance."""

    def make_writer(self, host: WriterHost) -> Writer:
        writer = StubWriter("Stub")
        writer.instance_name = host.name
        return writer


class TestExpressWriter(WriterContract):
    """A document without code."""

    def make_writer(self, host: WriterHost) -> Writer:
        files = (FileSpec("D:\\Settings", "*.ini"),)
        return ExpressWriter(
            WriterMetadata(
                writer_id=stub_guid("express"),
                instance_id=GUID_NULL,
                instance_name=host.name,
                friendly_name="Settings",
                usage=UsageType.OTHER,
                source=SourceType.OTHER,
                restore_method=RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.NEVER),
                components=(Component(ComponentType.FILE_GROUP, "Settings", files=files),),
            )
        )


class TestNotesWriter(WriterContract):
    """The example of a writer that somebody else wrote."""

    def make_writer(self, host: WriterHost) -> Writer:
        writer: Writer = NOTES.NotesWriter(host, f"D:\\{host.name}")
        return writer

    async def work(self, writer: Any, number: int) -> None:
        await writer.add(f"note-{number}", "text" * number)


class TestScriptedWriter(WriterContract):
    """A writer whose script has two components, restore checks, and no misbehaviour."""

    def make_writer(self, host: WriterHost) -> Writer:
        place = f"D:\\{host.name}"
        return make_scripted_writer(
            host,
            {
                "check_includes": True,
                "check_excludes": True,
                "components": [
                    {"name": "One", "file_sets": [{"path": f"{place}\\One", "recursive": True}]},
                    {"name": "Two", "file_sets": [{"path": f"{place}\\Two", "recursive": True}]},
                ],
                "exclude": [{"path": place, "filespec": "*.tmp", "recursive": True}],
                "files": [
                    {"path": f"{place}\\One\\a.txt", "size": 5000, "seed": 1},
                    {"path": f"{place}\\Two\\b.txt", "size": 700, "seed": 2},
                    {"path": f"{place}\\Two\\skip.tmp", "size": 7, "seed": 3},
                ],
            },
        )

    def make_verifier(self) -> Verifier:
        return ScriptedVerifier()


@pytest.mark.slow
class TestExchangeWriter(WriterContract):
    """The store on its engine, with its databases on one volume and its logs on another."""

    volumes = ("D:", "L:")

    def make_writer(self, host: WriterHost) -> Writer:
        return make_exchange_writer(
            host,
            {
                "storage_group": host.name,
                "databases": ["Mailbox"],
                "database_directory": f"D:\\{host.name}",
                "log_directory": f"L:\\{host.name}",
                "log_file_size": "64 KiB",
                "checkpoint_depth": "128 KiB",
                "cache_pages": 128,
            },
        )

    def make_verifier(self) -> Verifier:
        return ExchangeVerifier()

    async def work(self, writer: Writer, number: int) -> None:
        assert isinstance(writer, ExchangeWriter)
        mailboxes = Mailboxes(writer.group)
        folder = await mailboxes.ensure_folder("Mailbox", "somebody", "Inbox")
        await mailboxes.deliver("Mailbox", folder, b"mail " * number)

    async def before_restore(self, writer: Writer) -> None:
        assert isinstance(writer, ExchangeWriter)
        await writer.group.dismount()
        await writer.group.allow_overwriting()
