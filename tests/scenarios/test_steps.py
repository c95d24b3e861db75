"""What the steps of a method do to the machine and to its backup sets."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from vss.errors import ConfigurationError
from vss.plugins import load
from vss.plugins.registry import Registry
from vss.scenarios import Outcome, parse_scenario, run_scenario


@cache
def registry() -> Registry:
    return load().registry


def run(method: str, *, template: str = "small", more: str = "") -> Outcome:
    steps = "".join(f"[[method]]\n{each.strip()}\n" for each in method.strip().split("\n\n"))
    text = f'title = "steps"\n[lab]\ntemplate = "{template}"\n{more}\n{steps}'
    return run_scenario(parse_scenario(text), registry())


def data(outcome: Outcome, step: str) -> Any:
    return outcome.step(step).data


def refused(method: str, **options: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        run(method, **options)
    return error.value.message


BACKUP = 'do = "backup"\nname = "b"'


def test_files_of_the_machine_are_written_cut_copied_renamed_and_deleted() -> None:
    outcome = run(
        """
do = "write_file"
path = 'D:\\New\\one.txt'
content = "ab"
length = 5

do = "files"
name = "written"
path = 'd:\\NEW\\*'

do = "truncate_file"
path = 'D:\\New\\*.txt'

do = "copy_file"
path = 'D:\\New\\one.txt'
to = 'L:\\Other\\two.txt'

do = "rename_file"
path = 'L:\\Other\\two.txt'
to = "three.txt"

do = "files"
name = "left"
path = '*.txt'

do = "delete_file"
path = '*.txt'
nth = -1

do = "delete_file"
path = '*.txt'
all = true

do = "files"
name = "gone"
path = '*.txt'

do = "truncate_file"
name = "nothing there"
path = '*.txt'
""",
        more='[[expect]]\nstep = "nothing there"\nexit_code = 10\nmessage = "no file of the machine matches \'[*].txt\'"',
    )

    assert outcome.ok, outcome.shortfalls
    assert data(outcome, "written") == {"count": 1, "paths": ["D:\\New\\one.txt"], "size_bytes": 5}
    assert data(outcome, "left") == {"count": 2, "paths": ["D:\\New\\one.txt", "L:\\Other\\three.txt"], "size_bytes": 4}
    assert data(outcome, "gone")["count"] == 0


def test_files_of_a_backup_set_are_changed_and_verification_notices() -> None:
    changes = {
        "flip": 'do = "flip_bit"\npath = "*boxes.dat"\nset = "b"',
        "write": 'do = "write_file"\npath = "*boxes.dat"\nset = "b"\noffset = 100',
        "cut": 'do = "truncate_file"\npath = "*boxes.dat"\nset = "b"',
        "delete": 'do = "delete_file"\npath = "*boxes.dat"\nset = "b"',
        "rename": 'do = "rename_file"\npath = "*boxes.dat"\nset = "b"\nto = "other.dat"',
        "copy": 'do = "copy_file"\npath = "*index.dat"\nset = "b"\nto = "*boxes.dat"',
    }
    for name, change in changes.items():
        expected = '[[expect]]\nstep = "verify"\nexit_code = 6\n'
        outcome = run(f'{BACKUP}\n\n{change}\n\ndo = "verify"\nof = "b"', more=expected)
        assert outcome.ok, (name, outcome.shortfalls)


def test_a_set_that_nobody_touched_verifies_and_goes_to_the_machine_file_by_file() -> None:
    outcome = run(
        f"""
{BACKUP}

do = "verify"
of = "b"

do = "copy_file"
path = "*notes.dat"
set = "b"
to = 'D:\\copy.dat'
to_set = "machine"

do = "files"
path = 'D:\\copy.dat'

do = "copy_file"
path = 'D:\\copy.dat'
to = "added.dat"
to_set = "b"

do = "files"
name = "in the set"
path = "added.dat"
set = "b"
"""
    )

    assert outcome.ok, outcome.shortfalls
    assert data(outcome, "files")["size_bytes"] == data(outcome, "in the set")["size_bytes"] == 40960


def test_a_volume_is_filled_and_the_disk_lost_and_replaced() -> None:
    outcome = run(
        """
do = "fill"
path = 'D:\\ballast'
leaving = "64 KiB"

do = "delete_file"
path = 'D:\\ballast'

do = "lose"
volume = "L:"

do = "files"
path = '*'

do = "replace"
volume = "L:"
"""
    )

    assert outcome.ok, outcome.shortfalls
    assert data(outcome, "fill")["free_bytes"] <= 64 << 10
    assert all(path.startswith("D:") for path in data(outcome, "files")["paths"])


def test_the_wall_clock_jumps_and_durations_do_not() -> None:
    outcome = run('do = "jump_clock"\nby = "-2h"\n\ndo = "sleep"\nduration = "3s"')
    slept = outcome.step("sleep")

    assert outcome.ok
    assert slept.ended_ns - slept.began_ns == 3_000_000_000


def test_a_service_stops_starts_and_dies() -> None:
    outcome = run(
        """
do = "stop_service"
writer = "Mail"

do = "status"
name = "two"

do = "start_service"
writer = "Mail"

do = "start_service"
writer = "Mail"

do = "status"
name = "three"

do = "crash_service"
writer = "Notes"

do = "facts"
writer = "Notes"

do = "status"
name = "without notes"
"""
    )

    assert outcome.ok, outcome.shortfalls
    assert [sorted(data(outcome, each)["writers"]) for each in ("two", "three", "without notes")] == [
        ["Journal", "Notes"],
        ["Journal", "Mail", "Notes"],
        ["Journal", "Mail"],
    ]
    assert data(outcome, "facts")["components"] == ["Notes"]


def test_an_application_without_actions_and_an_unknown_writer_are_refused_when_they_are_asked() -> None:
    outcome = run('do = "operate"\nwriter = "Mail"\naction = "mount"\n\ndo = "facts"\nwriter = "Post"')

    assert [each.exit_code for each in outcome.steps] == [2, 10]
    assert outcome.step("operate").message.endswith("has no actions: expected one that can be operated")


def test_an_administrator_of_the_store_is_told_which_actions_there_are() -> None:
    outcome = run(
        """
do = "operate"
name = "unknown"
writer = "SG1"
action = "dismont"

do = "operate"
name = "wrong option"
writer = "SG1"
action = "mount"
options = { can_be_overwritten = true }

do = "operate"
name = "wrong value"
writer = "SG1"
action = "set_circular"
options = { on = "yes" }

do = "operate"
name = "nothing to recover"
writer = "SG1"
action = "hard_recovery"
""",
        template="mail",
    )

    assert "did you mean 'dismount'" in outcome.step("unknown").message
    assert outcome.step("nothing to recover").error == "StoreError"
    assert "action 'mount': expected no options, found can_be_overwritten = True" in outcome.step("wrong option").message
    assert "expected on = true or false, found on = 'yes'" in outcome.step("wrong value").message


def test_shadow_copies_are_read_exposed_reverted_to_and_deleted() -> None:
    persistent = "options = { snapshot_only = true, persistent = true }"
    outcome = run(
        f"""
do = "backup"
name = "first"
{persistent}

do = "write_file"
path = 'D:\\Notes\\notes.dat'

do = "read_shadow"
volume = "D:"
path = "*notes.dat"

do = "use_shadow"
name = "expose"
use = "expose"
volume = "D:"

do = "use_shadow"
name = "unexpose"
use = "unexpose"
volume = "D:"

do = "use_shadow"
name = "revert"
use = "revert"
volume = "D:"

do = "files"
path = '*notes.dat'

do = "use_shadow"
name = "delete one"
use = "delete"
volume = "L:"

do = "limit_shadows"
volume = "D:"
maximum = "1 MiB"

do = "delete_shadows"
volume = "D:"

do = "delete_shadows"
name = "none left"
""",
        more='[[expect]]\nstep = "none left"\nexit_code = 10\nmessage = "there is no shadow copy"',
    )

    assert outcome.ok, outcome.shortfalls
    assert data(outcome, "read_shadow") == {"count": 1, "size_bytes": 40960}
    assert data(outcome, "files")["size_bytes"] == 40960
    assert data(outcome, "delete one") == {"before": 1, "left": 0}
    assert data(outcome, "delete_shadows") == {"deleted": 1}


def test_a_machine_without_shadow_storage_says_so() -> None:
    outcome = run(
        'do = "limit_shadows"\nvolume = "D:"\nmaximum = "1 MiB"',
        more='[[expect]]\nstep = "limit_shadows"\nexit_code = 7',
    )
    assert not outcome.ok, "the small machine has one"

    text = 'title = "x"\n[lab]\nvolumes = [{ name = "D:", size = "2 MiB" }]\n'
    text += '[[method]]\ndo = "limit_shadows"\nvolume = "D:"\nmaximum = "1 MiB"\n'
    text += '[[expect]]\nstep = "limit_shadows"\nexit_code = 7\n'
    assert run_scenario(parse_scenario(text), registry()).ok


def test_the_calls_of_a_session_are_made_one_by_one() -> None:
    outcome = run(
        f"""
{BACKUP}

do = "session"
name = "all"
calls = [
    "initialize_for_backup", {{ call = "set_context", context = "APP_ROLLBACK" }},
    {{ call = "set_backup_state", type = "COPY" }},
    "gather_writer_metadata", {{ call = "add_component", component = "Notes" }}, "is_volume_supported", "start_snapshot_set",
    "add_to_snapshot_set", "prepare_for_backup", "do_snapshot_set", "gather_writer_status", "query",
    {{ call = "set_backup_succeeded", component = "Notes", succeeded = true }},
    "backup_complete", "delete_snapshots", "release",
]

do = "session"
name = "restore"
calls = [{{ call = "initialize_for_restore", document = "b" }}, "gather_writer_metadata", "pre_restore", "post_restore"]

do = "session"
name = "refused"
leaves = true
calls = [
    "backup_complete", {{ call = "initialize_for_restore", document = "b" }},
    "abort_backup", {{ call = "sleep", duration = "1m" }},
]

do = "session"
name = "left waiting"
calls = [
    "initialize_for_backup", "set_backup_state", "gather_writer_metadata", "add_component", "start_snapshot_set",
    "add_to_snapshot_set", {{ call = "add_to_snapshot_set", volume = "L:" }}, "prepare_for_backup", "do_snapshot_set",
    "set_backup_succeeded", "leave_waiting",
]

do = "session"
name = "must fail"
calls = [{{ call = "initialize_for_backup", must_fail = "BadStateError" }}]
""".replace("\n    ", " ")
        .replace("[\n", "[")
        .replace(",\n]", "]"),
        more='[[expect]]\nstep = "must fail"\nexit_code = 11\nmessage = "*expected BadStateError, found no error"',
    )

    assert outcome.ok, outcome.shortfalls
    assert (
        data(outcome, "all")["refused"] == data(outcome, "restore")["refused"] == data(outcome, "left waiting")["refused"] == 0
    )
    calls = data(outcome, "all")["calls"]
    assert [calls[number]["value"] for number in (3, 5, 11, 14)] == [["Mail", "Notes", "Journal"], True, 1, 1]
    assert data(outcome, "refused")["calls"][0]["error"] == "BadStateError"


def test_a_restart_keeps_the_files_and_a_power_cut_may_keep_what_was_not_flushed() -> None:
    for step in ('do = "restart"\ndown_for = "1h"', 'do = "power_cut"\nunsynced = "kept"', 'do = "power_cut"'):
        outcome = run(f'{BACKUP}\n\n{step}\n\ndo = "restore"\nof = "b"')
        assert outcome.ok, (step, outcome.shortfalls)
    assert outcome.virtual_ns > 60_000_000_000


def test_a_restart_may_bring_other_settings_which_stay() -> None:
    again = 'do = "restart"\noptions.bystander = { path = "D:\\\\Other\\\\activity.log" }\n\ndo = "restart"'
    look = 'do = "files"\nname = "NAME"\npath = "D:*activity.log"'
    work = 'do = "backup"\nname = "NAME"\nunder_load = true'
    steps = [work.replace("NAME", "b"), look.replace("NAME", "before"), again, work.replace("NAME", "c")]
    outcome = run("\n\n".join([*steps, 'do = "sleep"\nduration = "1m"', look.replace("NAME", "after")]))

    assert outcome.step("before").data["count"] == 0
    assert outcome.step("after").data["paths"] == ["D:\\Other\\activity.log"]


def test_steps_in_the_background_run_side_by_side_and_are_collected_at_the_end() -> None:
    outcome = run(
        'do = "sleep"\nname = "long"\nduration = "1h"\nbackground = true\n\ndo = "sleep"\nname = "short"\nduration = "1s"'
    )

    assert [each.step for each in outcome.steps] == ["short", "long"]
    assert outcome.virtual_ns > 3600 * 1_000_000_000


def test_a_step_that_raises_what_it_must_not_is_an_outcome_too() -> None:
    outcome = run('do = "use_shadow"\nuse = "delete"\nvolume = "D:"\nnth = 7\n\ndo = "status"')

    assert outcome.step("status").exit_code == 0
    assert outcome.step("use_shadow").exit_code == 10
    persistent = 'do = "backup"\noptions = { snapshot_only = true, persistent = true }'
    wrong = run(f'{persistent}\n\ndo = "use_shadow"\nuse = "delete"\nvolume = "D:"\nnth = 7').step("use_shadow")
    assert (wrong.error, wrong.exit_code) == ("IndexError", 1)


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ('do = "bakcup"', "did you mean 'backup'"),
        ('do = "restart"\noptions.bystandr = { interval_s = 1.0 }', "is called 'bystandr'; did you mean 'bystander'"),
        ('do = "backup"\nunder_lod = true', "unknown field `under_lod` - at `$.method[0]`; did you mean 'under_load'"),
        ('do = "sleep"\nduration = "soon"', "step 'sleep': 'soon' is no duration"),
        ('do = "jump_clock"\nby = "2h"', "'2h' is no jump"),
        ('do = "fill"\npath = "D:\\\\x"\nleaving = "some"', "leaving: expected bytes or a size"),
        ('do = "limit_shadows"\nvolume = "D:"\nmaximum = "much"', "maximum: expected bytes or a size"),
        ('do = "power_cut"\nunsynced = "lots"', "unsynced: expected lost, kept, first:N"),
        ('do = "backup"\ntype = "FUL"', "did you mean 'FULL'"),
        ('do = "backup"\nprevious = "x"', "previous: no step is called 'x'"),
        ('do = "restore"\nof = ["backup"]', "of: no step is called 'backup'"),
        ('do = "wait"\nstep = "wai"', "did you mean 'wait'"),
        ('do = "verify"\nof = []', "of: expected a step, found none"),
        ('do = "session"\ncalls = [{ call = "sleep", duration = "x" }]', "duration: 'x' is no duration"),
        ('do = "session"\ncalls = [{ call = "query", must_fail = 3 }]', "must_fail: expected text, found 3"),
        ('do = "session"\ncalls = [{ call = "set_backup_succeeded", succeeded = "yes" }]', "expected true or false"),
        ('do = "flip_bit"\npath = "x"\nset = "y"', "set: no step is called 'y'"),
        ('do = "copy_file"\npath = "x"\nto = "z"\nto_set = "y"', "to_set: no step is called 'y'"),
        ('do = "use_shadow"\nuse = "revrt"\nvolume = "D:"', "did you mean 'revert'"),
        ('do = "use_shadow"\nuse = "expose"\nvolume = "D:"\nwhere = "far"', "where: expected one of locally, remotely"),
        ('do = "session"\ncalls = ["do_snapshot"]', "did you mean 'do_snapshot_set'"),
        ('do = "session"\ncalls = [{ call = "release", volume = "D:" }]', "'release' takes no 'volume'"),
        ('do = "session"\ncalls = [{ call = "set_context", context = "BACKUPS" }]', "did you mean 'BACKUP'"),
        ('do = "session"\ncalls = [{ call = "initialize_for_restore", document = "x" }]', "document: no step is called 'x'"),
        ('do = "session"\ncalls = ["initialize_for_restore"]', "'initialize_for_restore' needs 'document', found call"),
        ('do = "session"\ncalls = [{ call = "add_new_target", path = "D:" }]', "'add_new_target' needs 'component'"),
        ('do = "check"\nname = "a"\n\ndo = "check"\nname = "a"', "two steps are called 'a'"),
    ],
)
def test_a_step_that_can_never_work_is_refused_before_anything_runs(method: str, told: str) -> None:
    assert told in refused(method)


HEAD = 'title = "x"\n[[method]]\ndo = "check"\n'
LAB = '[lab]\ntemplate = "small"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title = ", "not valid TOML"),
        (HEAD + '[lab]\ntemplate = "smal"', "no lab template 'smal'"),
        ('schema = "vss.scenario/9"\n' + HEAD + LAB, "expected 'vss.scenario/1', found 'vss.scenario/9'"),
        ("seeds = 1\n" + HEAD + LAB, "unknown field `seeds`; did you mean 'seed'"),
        (HEAD + LAB + '[[expect]]\nevnt = "x"', "did you mean 'event'"),
        (HEAD + LAB + '[steady_state]\nrun_fr = "x"', "did you mean 'run_for'"),
        (HEAD + LAB + "[lab.options.Post]\na = 1", "no workload is called 'Post'"),
        (HEAD.replace("check", "chek") + LAB, "did you mean 'check'"),
        (HEAD + LAB + "options = 1", "lab.options: expected a table, found 1"),
        (HEAD + LAB + "machine = 1", "lab.machine: expected a table, found 1"),
        (HEAD + LAB + "[lab.options]\nMail = 1", "lab.options.Mail: expected a table, found 1"),
        (HEAD + LAB + '[steady_state]\nrun_for = "x"', "steady_state.run_for: 'x' is no duration"),
        (HEAD + LAB + "[[faults]]\nfault = 1", r"faults\[0\]: fault '1': no site"),
        (HEAD + LAB + '[[faults]]\nsite = "writer.freeze"', r"faults\[0\]: fault table needs the key 'effect'"),
        ("title = 7\n" + HEAD[12:] + LAB, "Expected `str`"),
    ],
)
def test_a_file_that_means_nothing_is_refused(text: str, told: str) -> None:
    with pytest.raises(Exception, match=told):
        parse_scenario(text)
