"""The document fuzzer, on a few thousand inputs; ``benchmarks/fuzz_documents.py`` runs as many as one wants."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_documents.py"


def fuzzer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_documents", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_mutated_documents_are_read_or_refused_and_nothing_else() -> None:
    outcomes = fuzzer().run(4000, seed=1)
    assert sum(count for name, count in outcomes.items() if name.endswith("_refused")) > 2000
    assert sum(count for name, count in outcomes.items() if name.endswith("_accepted")) > 50


def test_a_parser_that_raises_anything_else_is_reported_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    module = fuzzer()

    def broken(data: bytes) -> None:
        raise KeyError(data[:1])

    monkeypatch.setattr(module, "targets", lambda golden: (module.Target(broken, (b"abc",)),))
    with pytest.raises(AssertionError, match="input 0 of seed 5: KeyError"):
        module.run(1, seed=5)


def test_the_fuzzer_is_deterministic() -> None:
    module = fuzzer()
    first = [data for _, data in module.inputs(50, seed=2)]
    assert first == [data for _, data in module.inputs(50, seed=2)]
    assert first != [data for _, data in module.inputs(50, seed=3)]


def test_the_unchanged_corpus_is_accepted() -> None:
    module = fuzzer()
    for target in module.targets():
        assert [module.judge(target, data) for data in target.corpus] == ["accepted"] * len(target.corpus)
