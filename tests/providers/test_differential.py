"""Copy-on-write and clone read the same; damaged structures give typed errors. More of both: see the scripts beside this."""

from __future__ import annotations

import pytest

from tests.providers import fuzz_parsers, histories


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 200, 50))
def test_copy_on_write_and_clone_read_the_same(first: int) -> None:
    assert [(seed, live) for seed in range(first, first + 50) if (live := histories.live_through(seed))] == []


def test_the_script_of_histories_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert histories.main(["3", "1000"]) == 0
    assert capsys.readouterr().out == "3 histories, 0 differences\n"


@pytest.mark.slow
def test_no_parser_breaks_on_damaged_structures() -> None:
    fuzzer = fuzz_parsers.Fuzzer()

    assert [found for seed in range(4000) if (found := fuzzer.one(seed))] == []
    assert [found for seed in range(60) if (found := fuzzer.whole(seed))] == []
    assert bytes(fuzzer.image_view) == fuzzer.image


def test_the_script_of_damage_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz_parsers.main(["16"]) == 0
    assert capsys.readouterr().out.startswith("16 inputs, 0 defects")
