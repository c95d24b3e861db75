"""``vss lab load|export|dismount|mount``: real mail in and out of a lab's store, and the administrator's two switches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from vss.cli.lab import in_lab, lab_argument
from vss.cli.output import json_option, print_json
from vss.errors import AlreadyExistsError, ConfigurationError, InvalidArgumentError, NotFoundError
from vss.lab import Lab
from vss.real import RealFiles
from vss_writers.exchange.mail_files import format_mbox, parse_mbox
from vss_writers.exchange.mailboxes import Mailboxes
from vss_writers.exchange.writer import ExchangeWriter

LOADED_MAILBOX = "loaded"

writer_option = click.option("--writer", "writer_name", default="", help="The store, where the lab has several.")
database_option = click.option("--database", default="", help="The mailbox database; the store's first by default.")


def store_of(lab: Lab, name: str) -> ExchangeWriter:
    """Return the lab's store with this name, or its only one.

    Raises:
        NotFoundError: there is none, or none of that name, or it is of another kind.
        InvalidArgumentError: there are several and no name was given.
    """
    stores = {key: each for key, each in lab.writers.items() if isinstance(each, ExchangeWriter)}
    if name:
        if name not in stores:
            raise NotFoundError(f"the lab has no mail store '{name}': found {', '.join(stores) or 'none'}")
        return stores[name]
    if len(stores) > 1:
        raise InvalidArgumentError(f"the lab has several mail stores: say --writer, one of {', '.join(stores)}")
    if not stores:
        raise NotFoundError("the lab has no mail store")
    return next(iter(stores.values()))


def database_of(store: ExchangeWriter, name: str) -> str:
    """Return the database meant: the named one, or the first."""
    return name or store.group.options.databases[0]


@click.command()
@lab_argument
@click.option("--mbox", type=click.Path(path_type=Path), multiple=True, help="A file of messages in mbox form.")
@click.option("--maildir", type=click.Path(path_type=Path), multiple=True, help="A directory of messages in Maildir form.")
@click.option("--eml", type=click.Path(path_type=Path), multiple=True, help="A file that is one message.")
@click.option("--folder", default="Inbox", show_default=True, help="The folder to put them into.")
@writer_option
@database_option
@json_option
def load(
    directory: Path,
    mbox: tuple[Path, ...],
    maildir: tuple[Path, ...],
    eml: tuple[Path, ...],
    folder: str,
    writer_name: str,
    database: str,
    as_json: bool,
) -> None:
    """Put real mail into the lab's store."""
    messages = list(_read_all(mbox, maildir, eml))
    if not mbox and not maildir and not eml:
        raise InvalidArgumentError("nothing to load: expected --mbox, --maildir or --eml")

    async def deliver(lab: Lab) -> str:
        store = store_of(lab, writer_name)
        name = database_of(store, database)
        mailboxes = Mailboxes(store.group)
        folder_id = await mailboxes.ensure_folder(name, LOADED_MAILBOX, folder)
        for envelope, content in messages:
            await mailboxes.deliver(name, folder_id, content, envelope)
        return name

    name = in_lab(directory, deliver)
    size = sum(len(content) for _, content in messages)
    if as_json:
        print_json("loaded", database=name, folder=folder, messages=len(messages), size_bytes=size)
    else:
        click.echo(
            f"{len(messages)} messages, {size} bytes, loaded into '{name}', mailbox '{LOADED_MAILBOX}', folder '{folder}'"
        )


def _read_all(mbox: tuple[Path, ...], maildir: tuple[Path, ...], eml: tuple[Path, ...]) -> Iterator[tuple[bytes, bytes]]:
    for path in mbox:
        yield from parse_mbox(_read(path), str(path))
    for path in maildir:
        yield from ((b"", _read(each)) for each in _maildir_files(path))
    for path in eml:
        yield b"", _read(path)


def _read(path: Path) -> bytes:
    try:
        return RealFiles().read_bytes(path)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def _maildir_files(path: Path) -> Iterator[Path]:
    """Yield the messages of a Maildir: ``cur`` and ``new``, in the order of their names."""
    files = RealFiles()
    found = [each for each in (path / "cur", path / "new") if files.is_directory(each)]
    if not found:
        raise NotFoundError(f"{path} is no Maildir: expected a directory with 'cur' or 'new' in it")
    for folder in found:
        yield from (folder / name for name in files.list_directory(folder))


@click.command()
@lab_argument
@click.option("--mbox", type=click.Path(path_type=Path), required=True, help="The file to write; it must not exist.")
@click.option("--mailbox", default=LOADED_MAILBOX, show_default=True, help="Whose messages; '*' for everybody's.")
@writer_option
@database_option
@json_option
def export(directory: Path, mbox: Path, mailbox: str, writer_name: str, database: str, as_json: bool) -> None:
    """Write the messages of a mailbox into a file in mbox form, byte for byte as they were loaded."""
    files = RealFiles()
    if files.exists(mbox):
        raise AlreadyExistsError(f"{mbox} exists: an export never overwrites a file")

    async def collect(lab: Lab) -> list[tuple[bytes, bytes]]:
        store = store_of(lab, writer_name)
        name = database_of(store, database)
        mailboxes = Mailboxes(store.group)
        all_folders = await mailboxes.folders(name)
        folders = [each.folder_id for each in all_folders if mailbox in ("*", each.mailbox)]
        if not folders and mailbox != "*":
            known = ", ".join(sorted({each.mailbox for each in all_folders})) or "none"
            raise NotFoundError(f"database '{name}' has no mailbox '{mailbox}': found {known}")
        return [(each.envelope, each.content) async for each in mailboxes.messages(name) if each.folder_id in folders]

    messages = in_lab(directory, collect)
    try:
        files.write_atomically(mbox, b"".join(format_mbox(messages)))
    except OSError as error:
        raise ConfigurationError(f"{mbox} cannot be written: {error.strerror}") from error
    if as_json:
        print_json("exported", mailbox=mailbox, messages=len(messages))
    else:
        click.echo(f"{len(messages)} messages written to {mbox}")


@click.command()
@lab_argument
@click.option("--allow-overwrite", is_flag=True, help="Flag the databases 'can be overwritten by a restore'.")
@writer_option
@json_option
def dismount(directory: Path, allow_overwrite: bool, writer_name: str, as_json: bool) -> None:
    """Dismount the store's databases; they stay down until 'mount' or a restore."""

    async def switch(lab: Lab) -> str:
        store = store_of(lab, writer_name)
        await store.group.keep_dismounted(can_be_overwritten=allow_overwrite)
        return store.group.name

    name = in_lab(directory, switch)
    _say(as_json, "dismounted", name)


@click.command()
@lab_argument
@writer_option
@json_option
def mount(directory: Path, writer_name: str, as_json: bool) -> None:
    """Mount the store's databases, recovering them where needed."""

    async def switch(lab: Lab) -> str:
        store = store_of(lab, writer_name)
        await store.group.mount()
        return store.group.name

    name = in_lab(directory, switch)
    _say(as_json, "mounted", name)


def _say(as_json: bool, type: str, name: str) -> None:
    if as_json:
        print_json(type, storage_group=name)
    else:
        click.echo(f"storage group '{name}' {type}")
