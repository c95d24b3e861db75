"""``docs/faults.md``, made from the tables of words and sites: ``python -m vss.simulation.fault_page > docs/faults.md``."""

from __future__ import annotations

from collections.abc import Iterator

from vss.simulation.fault_grammar import KNOWN_SELECTORS
from vss.simulation.fault_selection import PHASES
from vss.simulation.fault_site_kinds import FaultSite
from vss.simulation.fault_sites import FAULT_SITES, applicable_effects
from vss.simulation.fault_words import CORRUPTIONS, EFFECT_WORDS

_HEAD = """\
# Faults

Any failure, at any point, the same way every time. A fault is one line; a plan is a list of them:

    fault writer.freeze when=writer:Mail delay=61s
    fault provider.commit fail code=VSS_E_PROVIDER_VETO
    fault set.rename when=name:session.json crash=before
    fault clock when=phase:freeze jump=-2h

```python
from vss.ports import Ports
from vss.simulation import FaultPlan, run


async def main(ports: Ports) -> None:
    async def freeze() -> None:
        await ports.clock.sleep(1)

    await ports.faults("writer.freeze", freeze, writer="Mail")


plan = FaultPlan.parse("fault writer.freeze when=writer:Mail delay=61s")
run(main, faults=plan)
assert [fault.effect for fault in plan.fired] == ["delay"]
```

The language:

    fault <site> [when=<selector>:<value>[,…]] [times=N|always] [prob=P] <effect>[=<value>] [<parameter>=<value> …]

A site may hold `*`. The word `fault` may be left out, values with spaces are quoted, a comma inside a selector is doubled. The
same as a table, for TOML and JSON: `site`, `when`, `times`, `prob`, `effect`. A site, an effect or a value that does not exist,
and an effect that makes no sense at its site, are refused with the nearest one that does.

After a run `plan.fired` and `plan.never_fired` say what struck, and each strike is a `FaultFired` event in the log. With
`FaultPlan(records_visits=True)` the run lists its `visits`: every site it passed, with selectors, number and instant.
`visit.fault("fail code=ENOSPC")` is the fault at just that visit, and `applicable_effects(visit.site)` is what a sweep tries
there: all legal codes and some illegal ones, delays just below, on and behind the caller's limit, every place to crash at.
"""

_CRASHES = """\
## Crashes

A crash stops a role without its `finally` blocks, and kills its other tasks. Its caller hears that the connection is broken,
and so does every later caller until `restart`; without `restart` the role stays dead. A writer, a provider and the
coordinator die alone: while a plan holds a crash, each call to them runs in a task of its own. At the sites of a requestor
the calling task dies; run it in a task of its own and wait for it with a limit. A role that does I/O dies at the site of that
I/O. A service that died has forgotten its sessions and the creation lock; its volumes let their writes go and its writers
thaw by their own timers. What a writer or a provider keeps in memory is still there after its restart, unless whoever makes
the machine replaces it: `plan.when_died` is told who died, `plan.back_ns` says when it is back. In a lab a store dies with its
writer: nothing is written any more, after `restart` it recovers from its disks and subscribes as a new instance; without, an
administrator starts it (`start_service`). A run that ends before a frozen writer has thawed itself ends with
an error: let that minute pass.

In the real world `crash`, `stall` and `jump` are refused; everything else works there too.

## Power loss

`RecordedFiles` (host files) and `vss.volumes.RecordedStore` (images) note every write, sync and name; `mark` notes what
somebody was told. `states()` then yields every content that power loss may leave at any instant: each prefix and each subset of
what was not synced (above six effects: none, all, all but one, only one), the newest write also torn at each sector, equal
contents once. `state.files()` and `state.store()` give it back for a restart:

```python
from pathlib import Path

from vss.simulation import MemoryFiles, RecordedFiles

files = RecordedFiles(MemoryFiles(), Path("/"))
files.write_atomically(Path("/catalogue"), b"old")
done = files.event_count
files.write_atomically(Path("/catalogue"), b"new")
assert {state.files().read_bytes(Path("/catalogue")) for state in files.states(first_event=done)} == {b"old", b"new"}
```

For a whole machine, disks and host at once, a few words say what survives: `vss run --power-fails`, `power_cut` in a scenario,
`vss sweep --power-loss` ([exploration](exploration.md#shrink-and-replay)).
"""

_ADDING = """\
## Add a fault site

1. Name it: role and step, `archive.ship`. The name never holds a number or an instance; those are selectors.
2. Pass it. What is awaited: `await ports.faults("archive.ship", work, file=path)`, where `work` is a function that does it; for
   a write whose data can be torn or flipped `functools.partial(write, offset, data)`. A plain call: ask
   `ports.io_faults("archive.write", len(data), name=name)` and hand the answer, almost always None, to `struck_read`,
   `struck_write` or `struck` of `vss.io_faults`. A step of the coordinator: `@passes("coord.step")`.
3. Enter it in the table of `vss/simulation/fault_sites.py`: what passes, which selectors it tells, which effects make sense. A
   test refuses a name in the source that is not there. Sites of plugins outside this project are given as `extra_sites` to
   `FaultPlan.parse`; every effect may be tried at them.
4. `python -m vss.simulation.fault_page > docs/faults.md` brings this page up to date; a test compares it.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *_effects(), "", *_selectors(), "", _CRASHES, _ADDING, *_sites()]) + "\n"


def _effects() -> Iterator[str]:
    yield "## Effects"
    yield ""
    yield "| Effect | It can | Who notices |"
    yield "|---|---|---|"
    for word in EFFECT_WORDS.values():
        yield f"| `{word.name}` | {word.meaning} | {word.visibility.value} |"
    yield ""
    kinds = ", ".join(f"`{kind}` ({meaning})" for kind, meaning in CORRUPTIONS.items())
    yield f"Kinds of `corrupt`: {kinds}."


def _selectors() -> Iterator[str]:
    yield "## Selectors"
    yield ""
    yield "All must match. `nth:2` counts the visits that the others match. `after:5s` is virtual time since the start,"
    yield "`after:40%` how much of a copy is done, `after:4MiB` what has passed the site. `idle:180s`: nothing was visited"
    yield "for so long. `boot`: before the first session. `phase:copy`: while the phase is open. The others are what the"
    yield "site says of itself; `*` stands for any text, a whole number for the n-th value that the run has shown"
    yield "(`volume:2`, `component:3/5`)."
    yield ""
    yield f"Known: {', '.join(f'`{key}`' for key in KNOWN_SELECTORS)}."
    aliases = ", ".join(f"`{name}` ({', '.join(names)})" for name, names in PHASES.items())
    yield f"Other names of phases: {aliases}, `thaw` (from the end of the hold to that of the freeze)."


def _sites() -> Iterator[str]:
    forms = sum(len(applicable_effects(site)) for site in FAULT_SITES)
    yield "## Sites"
    yield ""
    yield f"{len(FAULT_SITES)} sites; a sweep tries {forms} forms of effects at them, each once and each always."
    yield ""
    yield "| Site | What passes | It tells | Effects | Forms |"
    yield "|---|---|---|---|---|"
    for site in FAULT_SITES:
        yield _row(site)


def _row(site: FaultSite) -> str:
    told = ", ".join(f"`{key}`" for key in site.selectors) or "–"
    effects = ", ".join(site.effects)
    return f"| `{site.name}` | {site.passes} | {told} | {effects} | {len(applicable_effects(site))} |"


if __name__ == "__main__":  # pragma: no cover - writes the page that a test compares
    print(page(), end="")  # noqa: T201 - this is a program then
