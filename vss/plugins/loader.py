"""Finding, checking and loading plugins: one record per plugin, one problem per failure, never a crash.

Our own loop over the entry points of group ``vss.plugins``: pluggy's loader stops at the first import that fails. Built-ins
come in by the same door, as entry points of our own distribution; in a checkout that is not installed the same names are
taken from the list below and go the same way. Per plugin the stages are import, API version, validation (pluggy's signature
check and ours), registration, duplicates; a plugin that fails at any of them leaves nothing behind.

Environment: ``VSS_STRICT_PLUGINS=1`` raises all problems as one exception group, ``VSS_DISABLE_PLUGINS=a,b`` blocks plugins
by name, ``VSS_NO_PLUGINS=1`` blocks everything that is not built in.
"""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pluggy

from vss.errors import PluginError
from vss.plugins import hookspecs
from vss.plugins.registry import Kind, Origin, Problem, Registrar, Registration, Registry

if TYPE_CHECKING:
    from vss.events import Record

API_VERSION = (1, 0)
"""Major and minor: a plugin needs the same major and at most this minor. Minor grows when a hook or argument is added."""

GROUP = "vss.plugins"
DISTRIBUTION = "vss-lab"
BUILT_INS = {
    "vss-providers": "vss_providers.plugin",
    "vss-requestors": "vss_requestors.plugin",
    "vss-writers": "vss_writers.plugin",
}
"""The entry points of our own distribution, for a checkout that is not installed; a test compares them with pyproject.toml."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that may be loaded: where it came from and how to get it."""

    origin: Origin
    load: Callable[[], Any]

    @staticmethod
    def of(name: str, plugin: Any) -> Candidate:
        """Offer an object of this process (a test's, a scenario's) as a plugin."""
        return Candidate(Origin(name, value=type(plugin).__name__), lambda: plugin)


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """What ``vss plugins`` shows of one plugin. ``status`` is ``ok``, ``blocked`` or ``failed``; ``api`` is as declared."""

    origin: Origin
    status: str
    reason: str = ""
    api: str = ""
    hooks: tuple[str, ...] = ()
    registrations: tuple[Registration, ...] = ()


class _LoadFailure(Exception):
    """Carries a stage and a sentence to the place where the problem record is made."""

    def __init__(self, stage: str, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.stage = stage
        self.cause = cause


class PluginHost:
    """The plugins of this process: their registrations, their observers, and what is wrong with them."""

    def __init__(self) -> None:
        """Start empty; ``load`` fills it."""
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._owners: dict[tuple[Kind, str], Registration] = {}
        self.records: list[PluginRecord] = []
        self.problems: list[Problem] = []
        self.registry = Registry()
        self._observers: list[tuple[Origin, pluggy.HookImpl]] = []
        self._choosers: list[pluggy.HookImpl] = []

    # -- after loading ---------------------------------------------------------------------------------------------------------

    @property
    def has_observers(self) -> bool:
        """Whether any plugin wants to see events."""
        return bool(self._observers)

    def recorded(self, record: Record) -> None:
        """Show ``record`` to every observer; one that raises is dropped and becomes a problem."""
        for origin, implementation in list(self._observers):
            try:
                _call(implementation, {"record": record})
            except Exception as error:  # noqa: BLE001 - an observer must never stop a backup; it is reported and dropped
                self._observers.remove((origin, implementation))
                self.problems.append(_problem(origin, "observe", _sentence(error), error, is_warning=True))

    def choose_provider(self, volume: str, context: int) -> str | None:
        """Ask the plugins which provider to use; None when none of them cares.

        Raises:
            PluginError: a plugin raised, or named something that is not a registered provider.
        """
        for implementation in self._choosers:
            try:
                choice = _call(implementation, {"volume": volume, "context": context})
            except Exception as error:
                raise PluginError(
                    f"plugin {implementation.plugin_name} failed to choose a provider: {_sentence(error)}"
                ) from error
            if choice is None:
                continue
            if not isinstance(choice, str) or not self.registry.has(Kind.PROVIDER, choice):
                raise PluginError(
                    f"plugin {implementation.plugin_name} chose provider {choice!r} for volume '{volume}', "
                    f"expected one of {', '.join(self.registry.names(Kind.PROVIDER)) or 'none registered'}"
                )
            return choice
        return None

    def raise_problems(self) -> None:
        """Raise every problem so far as one ``ExceptionGroup`` of ``PluginError``; return when there is none."""
        if self.problems:
            raise ExceptionGroup("plugins failed to load", [problem.as_error() for problem in self.problems])

    # -- loading ---------------------------------------------------------------------------------------------------------------

    def add(self, candidate: Candidate) -> None:
        """Load one plugin whole, or leave a problem and nothing else."""
        name = candidate.origin.plugin
        registrar = Registrar(candidate.origin)
        if any(record.origin.plugin == name and record.status == "ok" for record in self.records):
            self._fail(candidate.origin, registrar, _LoadFailure("duplicate", f"another plugin is named '{name}' already"))
            return
        try:
            api = self._add(candidate, registrar)
        except _LoadFailure as failure:
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            self._fail(candidate.origin, registrar, failure)
            return
        implementations = self._implementations(name)
        self._owners.update({(each.kind, each.name): each for each in registrar.registrations})
        hooks = tuple(hook for hook in hookspecs.HOOKS if hook in implementations)
        registrations = tuple(sorted(registrar.registrations, key=lambda each: (each.kind, each.name)))
        reason = "" if api else "declares no VSS_API"
        self.records.append(PluginRecord(candidate.origin, "ok", reason, api, hooks, registrations))

    def block(self, candidate: Candidate, reason: str) -> None:
        """Leave a plugin out on request."""
        self.records.append(PluginRecord(candidate.origin, "blocked", reason))

    def freeze(self) -> None:
        """Make the registry from what was loaded. Choosers: third parties before built-ins, so that they can overrule."""
        blocked = [record.origin.plugin for record in self.records if record.status == "blocked"]
        self.registry = Registry(self._owners.values(), self.problems, blocked)
        loaded = [record.origin for record in self.records if record.status == "ok"]
        for origin in loaded:
            found = self._implementations(origin.plugin)
            if "vss_event_recorded" in found:
                self._observers.append((origin, found["vss_event_recorded"]))
        for origin in sorted(loaded, key=lambda each: (each.is_built_in, each.plugin)):
            found = self._implementations(origin.plugin)
            if "vss_choose_provider" in found:
                self._choosers.append(found["vss_choose_provider"])

    def _add(self, candidate: Candidate, registrar: Registrar) -> str:
        name = candidate.origin.plugin
        try:
            plugin = candidate.load()
        except (Exception, SystemExit) as error:
            raise _LoadFailure("import", _sentence(error), error) from error
        api = _checked_api(candidate.origin, plugin)
        self._validate(name, plugin)
        self._register(name, registrar)
        self._refuse_duplicates(registrar.registrations)
        if not api:
            message = f'declares no VSS_API; say VSS_API = "{API_VERSION[0]}.{API_VERSION[1]}" to be checked against this host'
            self.problems.append(Problem(candidate.origin, "api-version", message, is_warning=True))
        return api

    def _validate(self, name: str, plugin: Any) -> None:
        _refuse_slips(plugin)
        try:
            self._manager.register(plugin, name=name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise _LoadFailure("validate", _sentence(error), error) from error
        implementations = self._implementations(name)
        if not implementations:
            raise _LoadFailure("validate", f"implements none of the hooks {', '.join(hookspecs.HOOKS)}")
        for hook, implementation in implementations.items():
            if implementation.hookwrapper or implementation.wrapper:
                raise _LoadFailure("validate", f"hook {hook} is a wrapper; hooks cannot be wrapped")

    def _register(self, name: str, registrar: Registrar) -> None:
        implementations = self._implementations(name)
        for hook in hookspecs.REGISTER_HOOKS:
            if hook not in implementations:
                continue
            try:
                _call(implementations[hook], {"registry": registrar})
            except Exception as error:
                raise _LoadFailure("register", f"{hook}: {_sentence(error)}", error) from error

    def _refuse_duplicates(self, registrations: Iterable[Registration]) -> None:
        seen: dict[tuple[Kind, str], Registration] = dict(self._owners)
        for each in registrations:
            earlier = seen.setdefault((each.kind, each.name), each)
            if earlier is not each:
                raise _LoadFailure("duplicate", f"{each.kind} '{each.name}' is registered by plugin {earlier.origin} already")

    def _implementations(self, name: str) -> dict[str, pluggy.HookImpl]:
        found: dict[str, pluggy.HookImpl] = {}
        for hook in hookspecs.HOOKS:
            for implementation in getattr(self._manager.hook, hook).get_hookimpls():
                if implementation.plugin_name == name:
                    found[hook] = implementation
        return found

    def _fail(self, origin: Origin, registrar: Registrar, failure: _LoadFailure) -> None:
        # What the plugin had claimed when it lost a duplicate belongs to its rightful owner, except for the rest of its names.
        claims = tuple((each.kind, each.name) for each in registrar.registrations if (each.kind, each.name) not in self._owners)
        self.problems.append(_problem(origin, failure.stage, str(failure), failure.cause, claims=claims))
        self.records.append(PluginRecord(origin, "failed", f"{failure.stage}: {failure}"))


def candidates() -> list[Candidate]:
    """Return what is installed: built-ins by name, then third parties by name. A checkout not installed has its built-ins."""
    from importlib.metadata import EntryPoint, entry_points

    found: list[tuple[Origin, EntryPoint]] = []
    for entry_point in entry_points(group=GROUP):
        distribution = entry_point.dist
        name, version = (distribution.name, distribution.version) if distribution is not None else ("", "")
        found.append((Origin(entry_point.name, entry_point.value, name, version, name == DISTRIBUTION), entry_point))
    if not any(origin.is_built_in for origin, _ in found):
        found += [(Origin(name, value, is_built_in=True), EntryPoint(name, value, GROUP)) for name, value in BUILT_INS.items()]
    found.sort(key=lambda each: (not each[0].is_built_in, each[0].plugin, each[0].distribution, each[0].value))
    return [Candidate(origin, entry_point.load) for origin, entry_point in found]


def load(
    found: Sequence[Candidate] | None = None,
    *,
    extra: Sequence[Candidate] = (),
    environment: Mapping[str, str] | None = None,
    is_strict: bool | None = None,
) -> PluginHost:
    """Load plugins into a host of their own.

    Args:
        found: the candidates in order; default is what is installed.
        extra: further candidates, loaded last.
        environment: where the ``VSS_…`` variables are; default is the process's.
        is_strict: raise all problems; default is what ``VSS_STRICT_PLUGINS`` says.

    Raises:
        ExceptionGroup: of ``PluginError``, when strict and anything is wrong.
    """
    variables = os.environ if environment is None else environment
    disabled = {name.strip() for name in variables.get("VSS_DISABLE_PLUGINS", "").split(",")}
    only_built_in = _is_on(variables.get("VSS_NO_PLUGINS", ""))
    host = PluginHost()
    for candidate in [*(candidates() if found is None else found), *extra]:
        if candidate.origin.plugin in disabled:
            host.block(candidate, "named in VSS_DISABLE_PLUGINS")
        elif only_built_in and not candidate.origin.is_built_in:
            host.block(candidate, "VSS_NO_PLUGINS is set")
        else:
            host.add(candidate)
    host.freeze()
    if _is_on(variables.get("VSS_STRICT_PLUGINS", "")) if is_strict is None else is_strict:
        host.raise_problems()
    return host


@cache
def plugin_host() -> PluginHost:
    """Return the one host of this process, loaded at first use (strictness is then up to ``VSS_STRICT_PLUGINS``)."""
    return load()


def _is_on(value: str) -> bool:
    return value.strip().casefold() not in {"", "0", "false", "no", "off"}


def _call(implementation: pluggy.HookImpl, arguments: Mapping[str, Any]) -> Any:
    return implementation.function(*(arguments[name] for name in implementation.argnames))


def _checked_api(origin: Origin, plugin: Any) -> str:
    """Return the declared API version as text (empty when undeclared); refuse what this host does not offer."""
    declared = getattr(plugin, "VSS_API", None)
    if declared is None:
        return ""
    offered = f"{API_VERSION[0]}.{API_VERSION[1]}"
    try:
        major, minor = (int(part) for part in str(declared).split("."))
    except ValueError as error:
        raise _LoadFailure("api-version", f'VSS_API must read like "{offered}", found {declared!r}', error) from error
    if major != API_VERSION[0] or minor > API_VERSION[1]:
        remedy = (
            "upgrade vss-lab" if (major, minor) > API_VERSION else f"install a newer {origin.distribution or origin.plugin}"
        )
        raise _LoadFailure("api-version", f"needs VSS API {major}.{minor}, this host offers {offered}; {remedy}")
    return f"{major}.{minor}"


def _refuse_slips(plugin: Any) -> None:
    """Refuse what pluggy would pass over in silence: an unmarked or unknown hook, an asynchronous one."""
    for name in sorted(name for name in dir(plugin) if name.startswith("vss_")):
        function = getattr(plugin, name)
        if not inspect.isroutine(function):
            continue
        if name not in hookspecs.HOOKS:
            raise _LoadFailure("validate", f"unknown hook {name}, expected one of {', '.join(hookspecs.HOOKS)}")
        if not hasattr(function, f"{hookspecs.PROJECT}_impl"):
            raise _LoadFailure("validate", f"function {name} is not marked with @hookimpl")
        if inspect.iscoroutinefunction(function):
            raise _LoadFailure(
                "validate", f"hook {name} is a coroutine function; asynchronous work belongs on registered objects"
            )


def _problem(
    origin: Origin,
    stage: str,
    message: str,
    cause: BaseException | None,
    *,
    claims: tuple[tuple[Kind, str], ...] = (),
    is_warning: bool = False,
) -> Problem:
    text = "" if cause is None else "".join(traceback.format_exception(cause))
    return Problem(origin, stage, message, cause, text, claims, is_warning)


def _sentence(error: BaseException) -> str:
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
