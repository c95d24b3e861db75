"""``vss completion``: the script that teaches a shell our commands. Made by Click."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from vss.cli.output import json_option, print_json


@click.command()
@json_option
@click.argument("shell", type=click.Choice(["bash", "fish", "zsh"]))
@click.pass_context
def completion(context: click.Context, as_json: bool, shell: str) -> None:
    """Print the shell's completion script.

    For bash: eval "$(vss completion bash)" in ~/.bashrc.
    """
    kind = get_completion_class(shell)
    assert kind is not None, "every offered shell is one of Click's"
    root = context.find_root()
    # source_vars rather than source(): the latter runs bash to look at its version, which a script printer has no need of.
    made = kind(root.command, {}, "vss", "_VSS_COMPLETE")
    script = made.source_template % made.source_vars()
    if as_json:
        print_json("completion", shell=shell, script=script)
    else:
        click.echo(script)
