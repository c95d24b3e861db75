"""Loading: a broken plugin leaves one problem and nothing else; order is declared; built-ins come in by the same door."""

from __future__ import annotations

import tomllib
import types
from pathlib import Path
from typing import Any

import pytest

from vss.errors import PluginError
from vss.events import Record, VolumeFlushed
from vss.plugins import Candidate, Kind, Origin, Registrar, hookimpl, load, plugin_host
from vss.plugins.loader import BUILT_INS, DISTRIBUTION, GROUP, candidates

ROOT = Path(__file__).parents[2]
RECORD = Record(1, 0, VolumeFlushed(volume="D:"))


def module(**attributes: Any) -> types.ModuleType:
    """A plugin module with these attributes, plus an API version unless that is given."""
    plugin = types.ModuleType("some_plugin")
    for name, value in {"VSS_API": "1.0", **attributes}.items():
        if value is not None:
            setattr(plugin, name, value)
    return plugin


def writers(*names: str) -> Any:
    @hookimpl
    def vss_register_writers(registry: Registrar) -> None:
        for name in names:
            registry.writer(name, "somewhere:create")

    return vss_register_writers


def host_of(*plugins: tuple[str, Any], **options: Any) -> Any:
    return load([Candidate.of(name, plugin) for name, plugin in plugins], environment=options.pop("environment", {}), **options)


def only_problem(host: Any) -> tuple[str, str]:
    (problem,) = host.problems
    return problem.stage, problem.message


def test_a_good_plugin_is_registered_with_its_origin() -> None:
    host = host_of(("notes", module(vss_register_writers=writers("notes"))))

    assert host.problems == []
    (record,) = host.records
    assert (record.status, record.api, record.hooks) == ("ok", "1.0", ("vss_register_writers",))
    assert host.registry.find(Kind.WRITER, "notes").origin.plugin == "notes"


def test_a_plugin_that_raises_at_import_leaves_a_problem_with_cause_and_traceback() -> None:
    def explode() -> Any:
        raise ImportError("no such library")

    host = load([Candidate(Origin("bad", "bad_module", "vss-bad", "0.3"), explode)], environment={})

    (problem,) = host.problems
    assert problem.stage == "import"
    assert problem.message == "ImportError: no such library"
    assert isinstance(problem.exception, ImportError)
    assert "explode" in problem.traceback
    assert host.records[0].status == "failed"


def test_a_plugin_that_exits_at_import_does_not_take_the_program_down() -> None:
    def leave() -> Any:
        raise SystemExit

    host = load([Candidate(Origin("bad"), leave)], environment={})

    assert only_problem(host) == ("import", "SystemExit")


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("2.0", "needs VSS API 2.0, this host offers 1.0; upgrade vss-lab"),
        ("1.7", "needs VSS API 1.7, this host offers 1.0; upgrade vss-lab"),
        ("0.9", "needs VSS API 0.9, this host offers 1.0; install a newer notes"),
        ("new", "VSS_API must read like \"1.0\", found 'new'"),
        ("1", "VSS_API must read like \"1.0\", found '1'"),
    ],
)
def test_an_unfit_api_version_is_refused_before_hooks_run(declared: str, expected: str) -> None:
    @hookimpl
    def vss_register_writers(registry: Registrar) -> None:
        raise AssertionError

    host = host_of(("notes", module(VSS_API=declared, vss_register_writers=vss_register_writers)))

    assert only_problem(host) == ("api-version", expected)


def test_a_missing_api_version_is_a_warning_and_the_plugin_is_loaded() -> None:
    host = host_of(("notes", module(VSS_API=None, vss_register_writers=writers("notes"))))

    (problem,) = host.problems
    assert (problem.stage, problem.is_warning) == ("api-version", True)
    assert host.records[0].status == "ok"
    assert host.registry.has(Kind.WRITER, "notes")


def unmarked() -> Any:
    def vss_register_writers(registry: Registrar) -> None:
        raise AssertionError

    return vss_register_writers


def asynchronous() -> Any:
    @hookimpl
    async def vss_event_recorded(record: Record) -> None:
        raise AssertionError

    return vss_event_recorded


def wrong_argument() -> Any:
    @hookimpl
    def vss_event_recorded(wrong: int) -> None:
        raise AssertionError

    return vss_event_recorded


def wrapper() -> Any:
    @hookimpl(wrapper=True)
    def vss_choose_provider(volume: str) -> Any:
        return (yield)

    return vss_choose_provider


@pytest.mark.parametrize(
    ("hook", "function", "words"),
    [
        ("vss_register_writers", unmarked(), "not marked with @hookimpl"),
        ("vss_event_recorded", asynchronous(), "coroutine function"),
        ("vss_register_wirters", writers(), "unknown hook vss_register_wirters"),
        ("vss_event_recorded", wrong_argument(), "PluginValidationError"),
        ("vss_choose_provider", wrapper(), "is a wrapper"),
        ("other", 5, "implements none of the hooks"),
        ("vss_number", 5, "implements none of the hooks"),
    ],
)
def test_a_slip_in_a_hook_is_named(hook: str, function: Any, words: str) -> None:
    host = host_of(("slip", module(**{hook: function})))

    stage, message = only_problem(host)
    assert stage == "validate"
    assert words in message
    assert host.records[0].status == "failed"


def test_a_plugin_that_raises_while_registering_leaves_nothing_behind() -> None:
    @hookimpl
    def vss_register_providers(registry: Registrar) -> None:
        raise RuntimeError("half way\nmore")

    plugin = module(vss_register_writers=writers("half"), vss_register_providers=vss_register_providers)
    host = host_of(("bad", plugin), ("good", module(vss_register_writers=writers("whole"))))

    assert host.registry.names(Kind.WRITER) == ["whole"]
    assert only_problem(host) == ("register", "vss_register_providers: RuntimeError: half way")
    with pytest.raises(PluginError, match=r"writer 'half' belongs to plugin bad, which failed to load at stage register"):
        host.registry.find(Kind.WRITER, "half")


def test_a_name_of_wrong_form_is_a_register_problem() -> None:
    host = host_of(("bad", module(vss_register_writers=writers("two words"))))

    stage, message = only_problem(host)
    assert stage == "register"
    assert "'two words'" in message


def test_the_second_of_two_plugins_with_one_name_registered_is_left_out_whole() -> None:
    host = host_of(("a", module(vss_register_writers=writers("x"))), ("b", module(vss_register_writers=writers("y", "x"))))

    assert host.registry.names(Kind.WRITER) == ["x"]
    assert only_problem(host) == ("duplicate", "writer 'x' is registered by plugin a already")
    assert host.registry.find(Kind.WRITER, "x").origin.plugin == "a"
    with pytest.raises(PluginError, match="'y' belongs to plugin b"):
        host.registry.find(Kind.WRITER, "y")


def test_a_plugin_that_registers_one_name_twice_is_refused() -> None:
    host = host_of(("a", module(vss_register_writers=writers("x", "x"))))

    assert only_problem(host)[0] == "duplicate"


def test_two_plugins_of_one_name_keep_the_first() -> None:
    host = host_of(("a", module(vss_register_writers=writers("x"))), ("a", module(vss_register_writers=writers("y"))))

    assert only_problem(host) == ("duplicate", "another plugin is named 'a' already")
    assert host.registry.names(Kind.WRITER) == ["x"]


def test_one_object_offered_under_two_names_is_a_validation_problem() -> None:
    plugin = module(vss_register_writers=writers("x"))

    host = host_of(("a", plugin), ("b", plugin))

    assert only_problem(host)[0] == "validate"


def test_a_failed_plugin_may_be_followed_by_another_of_the_same_name() -> None:
    host = host_of(("a", module(other=1)), ("a", module(vss_register_writers=writers("x"))))

    assert host.registry.names(Kind.WRITER) == ["x"]


def test_strict_loading_raises_every_problem_at_once() -> None:
    broken = [("a", module(other=1)), ("b", module(VSS_API="9.0"))]

    with pytest.raises(ExceptionGroup) as raised:
        host_of(*broken, is_strict=True)

    assert [str(error).split(":")[0] for error in raised.value.exceptions] == [
        "plugin a failed at stage validate",
        "plugin b failed at stage api-version",
    ]
    assert all(isinstance(error, PluginError) for error in raised.value.exceptions)


def test_strictness_comes_from_the_environment_unless_said_otherwise() -> None:
    strict = {"VSS_STRICT_PLUGINS": "1"}

    with pytest.raises(ExceptionGroup):
        host_of(("a", module(other=1)), environment=strict)

    assert host_of(("a", module(other=1)), environment=strict, is_strict=False).problems
    assert host_of(("a", module(other=1)), environment={"VSS_STRICT_PLUGINS": "0"}).problems


def test_strict_loading_of_good_plugins_is_silent() -> None:
    assert host_of(("a", module(vss_register_writers=writers("x"))), is_strict=True).problems == []


def test_plugins_are_blocked_by_name_and_all_at_once() -> None:
    plugin = module(vss_register_writers=writers("x"))

    by_name = host_of(("a", plugin), environment={"VSS_DISABLE_PLUGINS": "z, a"})
    all_at_once = load(
        [
            Candidate(Origin("own", is_built_in=True), lambda: module(vss_register_writers=writers("y"))),
            Candidate.of("a", plugin),
        ],
        environment={"VSS_NO_PLUGINS": "1"},
    )

    assert [(record.status, record.reason) for record in by_name.records] == [("blocked", "named in VSS_DISABLE_PLUGINS")]
    assert all_at_once.registry.names(Kind.WRITER) == ["y"]
    assert all_at_once.records[1].reason == "VSS_NO_PLUGINS is set"


def test_extra_candidates_are_loaded_last() -> None:
    first, last = Candidate.of("z", module(vss_register_writers=writers("x"))), Candidate.of("a", module(other=1))

    assert [record.origin.plugin for record in load([first], extra=[last], environment={}).records] == ["z", "a"]


# -- observers and choosers ----------------------------------------------------------------------------------------------------


def test_observers_see_records_and_a_raising_one_is_dropped_with_a_problem() -> None:
    seen: list[Record] = []

    @hookimpl
    def vss_event_recorded(record: Record) -> None:
        seen.append(record)

    @hookimpl
    def raising(record: Record) -> None:
        raise ValueError("cannot look")

    host = host_of(("bad", module(vss_event_recorded=raising)), ("good", module(vss_event_recorded=vss_event_recorded)))
    assert host.has_observers

    host.recorded(RECORD)
    host.recorded(RECORD)

    assert seen == [RECORD, RECORD]
    assert only_problem(host) == ("observe", "ValueError: cannot look")
    assert host.problems[0].is_warning


def chooser(answer: Any) -> Any:
    @hookimpl
    def vss_choose_provider(volume: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return vss_choose_provider


@hookimpl
def vss_register_providers(registry: Registrar) -> None:
    registry.provider("mirror", "somewhere:create")


def test_the_first_chooser_with_an_answer_wins_third_parties_before_built_ins() -> None:
    own = module(vss_register_providers=vss_register_providers, vss_choose_provider=chooser("absent"))
    host = load(
        [
            Candidate(Origin("own", is_built_in=True), lambda: own),
            Candidate.of("a", module(vss_choose_provider=chooser(None))),
            Candidate.of("b", module(vss_choose_provider=chooser("mirror"))),
        ],
        environment={},
    )

    assert host.choose_provider("D:", 0) == "mirror"


def test_nobody_cares_which_provider() -> None:
    assert host_of(("a", module(vss_choose_provider=chooser(None)))).choose_provider("D:", 0) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("absent", "chose provider 'absent' for volume 'D:', expected one of mirror"),
        (5, "chose provider 5"),
        (ValueError("no"), "failed to choose a provider: ValueError: no"),
    ],
)
def test_a_wrong_choice_names_the_plugin(answer: Any, words: str) -> None:
    plugin = module(vss_register_providers=vss_register_providers, vss_choose_provider=chooser(answer))

    with pytest.raises(PluginError, match=words):
        host_of(("a", plugin)).choose_provider("D:", 0)


# -- where plugins come from ---------------------------------------------------------------------------------------------------


def test_the_built_in_list_is_what_pyproject_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["name"] == DISTRIBUTION
    assert project["entry-points"][GROUP] == BUILT_INS


def test_built_ins_come_first_and_sorted() -> None:
    found = candidates()

    built_in = [each.origin.plugin for each in found if each.origin.is_built_in]
    assert built_in == sorted(BUILT_INS)
    assert [each.origin.plugin for each in found][: len(built_in)] == built_in


def install(directory: Path, name: str, value: str) -> None:
    """Lay down what an installer leaves of a distribution called vss-``name``."""
    information = directory / f"vss_{name}-0.3.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vss-{name}\nVersion: 0.3\n", encoding="utf-8")
    (information / "entry_points.txt").write_text(f"[vss.plugins]\n{name} = {value}\n", encoding="utf-8")


def test_an_installed_distribution_is_found_after_the_built_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "absent", "no_such_module_anywhere")
    install(tmp_path, "aaa", "no_such_module_anywhere")
    monkeypatch.syspath_prepend(tmp_path)

    found = candidates()
    host = load(found[-2:], environment={})

    assert [str(each.origin) for each in found[-2:]] == ["aaa (vss-aaa 0.3)", "absent (vss-absent 0.3)"]
    assert [problem.message for problem in host.problems] == [
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    ] * 2
    with pytest.raises(PluginError, match=r"writer 'absent' may belong to plugin absent \(vss-absent 0\.3\)"):
        host.registry.find(Kind.WRITER, "absent")


def test_a_checkout_that_is_installed_uses_its_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    information = tmp_path / "vss_lab-9.9.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: vss-lab\nVersion: 9.9\n", encoding="utf-8")
    (information / "entry_points.txt").write_text("[vss.plugins]\nown = own_module\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    own = [each.origin for each in candidates() if each.origin.is_built_in]

    assert [str(origin) for origin in own] == ["own (vss-lab 9.9)"]


def test_a_checkout_that_is_not_installed_takes_the_list_by_the_same_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: ())

    found = candidates()

    assert [(each.origin.plugin, each.origin.value) for each in found] == sorted(BUILT_INS.items())
    assert all(each.origin.is_built_in for each in found)
    assert found[0].load().__name__ == found[0].origin.value


def test_a_process_has_one_host() -> None:
    assert plugin_host() is plugin_host()
