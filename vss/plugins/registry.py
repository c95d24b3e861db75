"""What is registered, by kind and name, with its origin. Frozen once loading is over.

A plugin's hooks write into a ``Registrar`` of its own; the loader takes all of it or nothing. The ``Registry`` made from it
answers look-ups in sorted order and resolves ``"module:attribute"`` strings at first use, so that loading plugins imports no
role code. A look-up that fails says what the reader can act on: ``NotFoundError`` with the nearest names, or ``PluginError``
with the original cause when a plugin that failed to load owned the name (or, being unreadable, may own it).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from vss.errors import InvalidArgumentError, NotFoundError, PluginError, VssError

if TYPE_CHECKING:
    import click

    from vss.plugins import hosts
    from vss.ports import Ports
    from vss.roles import Provider, Requestor, Verifier, Writer

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class Kind(StrEnum):
    """What can be registered."""

    WRITER = "writer"
    PROVIDER = "provider"
    REQUESTOR = "requestor"
    VERIFIER = "verifier"
    WORKLOAD = "workload"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a plugin came from: entry-point name and value, distribution and version (empty when not installed)."""

    plugin: str
    value: str = ""
    distribution: str = ""
    version: str = ""
    is_built_in: bool = False

    def __str__(self) -> str:
        """``notes (vss-writer-notes 0.3)``: the form of messages."""
        return f"{self.plugin} ({self.distribution} {self.version})" if self.distribution else self.plugin


@dataclass(frozen=True, slots=True)
class Registration:
    """One registered thing. A command's ``name`` is its whole path (``admin list writers``), a verifier's a class id."""

    kind: Kind
    name: str
    target: Any
    origin: Origin
    summary: str = ""

    def resolve(self) -> Any:
        """Return the factory or command itself, importing it where it was given as ``"module:attribute"``.

        Raises:
            PluginError: the module cannot be imported or has no such attribute.
        """
        if not isinstance(self.target, str):
            return self.target
        module_name, _, attributes = self.target.partition(":")
        try:
            found: Any = importlib.import_module(module_name)
            for attribute in attributes.split("."):
                found = getattr(found, attribute)
        except Exception as error:
            raise PluginError(
                f"{self.kind} '{self.name}' of plugin {self.origin} cannot be imported from '{self.target}': "
                f"{type(error).__name__}: {error}",
                hint="'vss plugins --all' shows what is loaded",
            ) from error
        return found


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a plugin, or a part of it, is not there.

    Attributes:
        origin: the plugin.
        stage: ``import``, ``api-version``, ``validate``, ``register``, ``duplicate`` or ``observe``.
        message: one sentence for people.
        exception: the original cause; None where there was none.
        traceback: its text.
        claims: what the plugin had registered before it failed, as (kind, name).
        is_warning: the plugin is loaded all the same.
    """

    origin: Origin
    stage: str
    message: str
    exception: BaseException | None = None
    traceback: str = ""
    claims: tuple[tuple[Kind, str], ...] = ()
    is_warning: bool = False

    def as_error(self) -> PluginError:
        """Return it as an exception with its cause."""
        error = PluginError(f"plugin {self.origin} failed at stage {self.stage}: {self.message}")
        error.__cause__ = self.exception
        return error


class Registrar:
    """Handed to a plugin's register hooks; collects what one plugin adds. Factory signatures: ``vss.plugins.hosts``.

    Wherever a factory is expected, a ``"module:attribute"`` string does as well and is imported at first use only; prefer it,
    it keeps every command's start-up short. All methods raise ``InvalidArgumentError`` for a name or target of wrong form.
    """

    def __init__(self, origin: Origin) -> None:
        """Collect for ``origin``."""
        self.origin = origin
        self.registrations: list[Registration] = []

    def writer(self, name: str, factory: hosts.WriterFactory | str, *, summary: str = "") -> None:
        """Add a writer that labs can have under ``kind = "name"``."""
        self._add(Kind.WRITER, _checked_name(Kind.WRITER, name), factory, summary)

    def provider(self, name: str, factory: hosts.ProviderFactory | str, *, summary: str = "") -> None:
        """Add a provider."""
        self._add(Kind.PROVIDER, _checked_name(Kind.PROVIDER, name), factory, summary)

    def requestor(self, name: str, factory: hosts.RequestorFactory | str, *, summary: str = "") -> None:
        """Add a requestor."""
        self._add(Kind.REQUESTOR, _checked_name(Kind.REQUESTOR, name), factory, summary)

    def verifier(self, writer_class_id: UUID, factory: hosts.VerifierFactory | str, *, summary: str = "") -> None:
        """Add the verifier for the files of one writer class."""
        if not isinstance(writer_class_id, UUID):
            raise InvalidArgumentError(f"a verifier is registered by its writer class id (a UUID), found {writer_class_id!r}")
        self._add(Kind.VERIFIER, str(writer_class_id), factory, summary)

    def workload(self, name: str, factory: hosts.WorkloadFactory | str, *, summary: str = "") -> None:
        """Add a workload."""
        self._add(Kind.WORKLOAD, _checked_name(Kind.WORKLOAD, name), factory, summary)

    def command(self, group_path: str, name: str, command: click.Command | str, *, help: str = "") -> None:
        """Add a Click command under ``group_path`` (``""`` for the top, ``"admin list"`` for a nested group)."""
        words = [*group_path.split(), name]
        for word in words:
            _checked_name(Kind.COMMAND, word)
        self._add(Kind.COMMAND, " ".join(words), command, help)

    def _add(self, kind: Kind, name: str, target: Any, summary: str) -> None:
        is_text = isinstance(target, str)
        if (is_text and not _TARGET.fullmatch(target)) or (not is_text and not callable(target)):
            raise InvalidArgumentError(f"{kind} '{name}' needs a callable or 'module:attribute', found {target!r}")
        self.registrations.append(Registration(kind, name, target, self.origin, summary))


def _checked_name(kind: Kind, name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidArgumentError(f"a {kind} is named by letters, digits, '.', '_' and '-', found {name!r}")
    return name


class Registry:
    """Everything registered, in sorted order. Immutable; a machine is built from it."""

    def __init__(
        self, registrations: Iterable[Registration] = (), problems: Sequence[Problem] = (), blocked: Sequence[str] = ()
    ) -> None:
        """Freeze ``registrations`` (no two of one kind and name), remembering why other plugins are missing."""
        by_key = {(each.kind, each.name): each for each in registrations}
        self._by_key = {key: by_key[key] for key in sorted(by_key)}
        self._failed = tuple(problem for problem in problems if not problem.is_warning)
        self._blocked = tuple(blocked)

    def registrations(self, kind: Kind | None = None) -> list[Registration]:
        """Return what is registered, of one kind or all, sorted by kind and name."""
        return [each for each in self._by_key.values() if kind is None or each.kind is kind]

    def names(self, kind: Kind) -> list[str]:
        """Return the names of one kind, sorted."""
        return [each.name for each in self.registrations(kind)]

    def has(self, kind: Kind, name: str) -> bool:
        """Whether ``name`` is registered."""
        return (kind, name) in self._by_key

    def find(self, kind: Kind, name: str) -> Registration:
        """Return one registration.

        Raises:
            NotFoundError: nothing has that name; the message names the nearest ones.
            PluginError: a plugin that failed to load owned the name, or may own it.
        """
        found = self._by_key.get((kind, name))
        if found is not None:
            return found
        nearest = nearest_names(name, self.names(kind))
        owner = self._failed_owner(kind, name, is_near_miss=bool(nearest))
        if owner is not None:
            verb = "belongs to" if (kind, name) in owner.claims else "may belong to"
            raise PluginError(
                f"{kind} '{name}' {verb} plugin {owner.origin}, which failed to load at stage {owner.stage}: {owner.message}",
                hint="'vss plugins --all' shows the whole cause",
            ) from owner.exception
        raise NotFoundError(f"no {kind} is named '{name}'", hint=self._hint(kind, nearest))

    def create_writer(self, name: str, host: hosts.WriterHost, options: Mapping[str, Any]) -> Writer:
        """Make a writer; ``PluginError`` when its factory raises or returns something else."""
        from vss.roles.writer import Writer

        made: Writer = self._create(Kind.WRITER, name, Writer, host, options)
        return made

    def create_provider(self, name: str, ports: Ports) -> Provider:
        """Make a provider; ``PluginError`` when its factory raises or returns something else."""
        from vss.roles.provider import Provider

        made: Provider = self._create(Kind.PROVIDER, name, Provider, ports)
        return made

    def create_requestor(self, name: str) -> Requestor:
        """Make a requestor; ``PluginError`` when its factory raises or returns something else."""
        from vss.roles.requestor import Requestor

        made: Requestor = self._create(Kind.REQUESTOR, name, Requestor)
        return made

    def create_verifier(self, writer_class_id: UUID) -> Verifier:
        """Make a verifier; ``PluginError`` when its factory raises or returns something else."""
        from vss.roles.verifier import Verifier

        made: Verifier = self._create(Kind.VERIFIER, str(writer_class_id), Verifier)
        return made

    def create_verifiers(self) -> dict[UUID, Verifier]:
        """Make every registered verifier, by writer class id, in sorted order."""
        return {UUID(name): self.create_verifier(UUID(name)) for name in self.names(Kind.VERIFIER)}

    def create_workload(self, name: str, host: hosts.WorkloadHost, options: Mapping[str, Any]) -> hosts.Workload:
        """Make a workload; ``PluginError`` when its factory raises or returns something else."""
        from vss.plugins.hosts import Workload

        made: hosts.Workload = self._create(Kind.WORKLOAD, name, Workload, host, options)
        return made

    def _create(self, kind: Kind, name: str, face: type[Any], *arguments: Any) -> Any:
        registration = self.find(kind, name)
        factory: Callable[..., Any] = registration.resolve()
        try:
            made = factory(*arguments)
        except VssError:
            raise
        except Exception as error:
            raise PluginError(
                f"{kind} '{name}' of plugin {registration.origin} could not be made: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(made, face):
            raise PluginError(
                f"the factory of {kind} '{name}' of plugin {registration.origin} must return a {face.__name__}, "
                f"found {type(made).__name__}"
            )
        return made

    def _failed_owner(self, kind: Kind, name: str, *, is_near_miss: bool) -> Problem | None:
        """The failed plugin that owned the name; failing that, one that failed before it could say what it owns.

        A name close to an existing one is taken for a slip of the pen, unless the failed plugin carries the name itself.
        """
        for problem in self._failed:
            if (kind, name) in problem.claims:
                return problem
        unreadable = [problem for problem in self._failed if not problem.claims and problem.stage != "observe"]
        named = [problem for problem in unreadable if _is_named_after(problem.origin, name)]
        if named:
            return named[0]
        return unreadable[0] if unreadable and not is_near_miss else None

    def _hint(self, kind: Kind, nearest: Sequence[str]) -> str:
        names = self.names(kind)
        if nearest:
            hint = "did you mean " + " or ".join(f"'{each}'" for each in nearest) + "?"
        elif names:
            hint = "known: " + ", ".join(names)
        else:
            hint = f"no {kind} is registered at all; 'vss plugins' shows what is loaded"
        return f"{hint}; blocked plugins: {', '.join(self._blocked)}" if self._blocked else hint


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three of ``known`` that ``name`` may have meant, nearest first, regardless of case."""
    import difflib

    by_folded: dict[str, str] = {}
    for each in known:
        by_folded.setdefault(each.casefold(), each)
    return [by_folded[match] for match in difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.6)]


def _is_named_after(origin: Origin, name: str) -> bool:
    words = set(re.split(r"[^a-z0-9]+", f"{origin.plugin} {origin.distribution}".casefold()))
    return all(word in words for word in re.split(r"[^a-z0-9]+", name.casefold()) if word)
