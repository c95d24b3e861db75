"""The table of our own commands: path, where it is, one line of help. Data only, so that ``vss --help`` imports no command.

A path of several words is a command in a group (``admin list writers``); groups need no entry except for their line of help.
Commands that belong to a role package (``verify``, ``betest``, ``eseutil``) are registered by its plugin instead.
"""

from __future__ import annotations

from typing import NamedTuple


class Declared(NamedTuple):
    """Where a command is (``module:attribute``) and its line in the help."""

    target: str
    help: str


COMMANDS: dict[str, Declared] = {
    "admin add shadowstorage": Declared("vss.cli.shadow_storage:add_storage", "Give a volume a place for the saved blocks."),
    "admin delete shadowstorage": Declared("vss.cli.shadow_storage:delete_storage", "Take a storage association away."),
    "admin delete shadows": Declared("vss.cli.admin:delete_shadows", "Delete shadow copies."),
    "admin list providers": Declared("vss.cli.admin:list_providers", "List the providers."),
    "admin list shadows": Declared("vss.cli.shadow:list_shadows", "List the shadow copies of a lab or in an image."),
    "admin list shadowstorage": Declared("vss.cli.shadow_storage:list_storage", "List the shadow copy storage."),
    "admin list volumes": Declared("vss.cli.admin:list_volumes", "List the volumes."),
    "admin list writers": Declared("vss.cli.admin:list_writers", "List the writers."),
    "admin resize shadowstorage": Declared("vss.cli.shadow_storage:resize_storage", "Change the maximum size."),
    "campaign": Declared("vss.cli.exploration:campaign", "Run many seeded mixtures of faults and orders."),
    "completion": Declared("vss.cli.completion:completion", "Print the shell's completion script."),
    "doctor": Declared("vss.cli.doctor:doctor", "What this machine can do, and why not."),
    "faults list": Declared("vss.cli.faults:list_failures", "List the failures of the catalogue."),
    "faults run": Declared("vss.cli.faults:run_failure", "Make a failure happen, or all of a pack, and check what must hold."),
    "faults show": Declared(
        "vss.cli.faults:show_failure", "Tell what a failure is: what is seen, why, what must hold, whether to try again."
    ),
    "lab check": Declared("vss.cli.lab:check", "Check what must hold at rest."),
    "lab create": Declared("vss.cli.lab:create", "Make a lab in DIRECTORY, which must be empty or missing."),
    "lab flip-bit": Declared("vss.cli.lab:flip_bit", "Flip one bit on the disk under the file PATH."),
    "lab grow": Declared("vss.cli.lab:grow", "Make VOLUME, and the file system on it, SIZE long."),
    "lab lose": Declared("vss.cli.lab:lose", "Lose the disk under VOLUME."),
    "lab replace": Declared("vss.cli.lab:replace", "Put a new, empty disk in the place of a lost VOLUME."),
    "lab run": Declared("vss.cli.lab:run", "Let the workloads work, in virtual time."),
    "lab show": Declared("vss.cli.lab:show", "What the machine is made of and what state it is in."),
    "plugins": Declared("vss.cli.plugins:plugins", "What is loaded, blocked and broken."),
    "replay": Declared("vss.cli.exploration:replay", "Run the run of a trace again."),
    "run": Declared("vss.cli.scenario:run", "Run a scenario file: a lab, a method, faults, expectations."),
    "schema": Declared("vss.cli.schema:schema", "Print a JSON Schema: of events, of labs, of scenarios, of command output."),
    "sweep": Declared("vss.cli.exploration:sweep", "Strike every point of a clean run with every fault."),
}

GROUPS: dict[str, str] = {
    "admin": "What vssadmin shows and does.",
    "admin add": "Add shadow copy storage.",
    "admin delete": "Delete shadow copies, or their storage.",
    "admin list": "List writers, providers, shadows, volumes.",
    "admin resize": "Resize shadow copy storage.",
    "faults": "The catalogue of failures: list, read, make them happen.",
    "lab": "Make a machine, look at it, let it run, break it, repair it.",
    "shadow": "Shadow copies in images and labs: list, export, verify, expose, revert.",
}
