"""What authors meet first: factories not overridden, or of the wrong kind; and who is charged with reading a hidden clock."""

from __future__ import annotations

import datetime
import os
import random
import sys
import time
import unittest
from types import FrameType
from typing import Any

import pytest

from vss.errors import ProviderVetoError, VssError, WriterError
from vss.hresult import HResult
from vss.testing import ProviderContract, VerifierContract, WriterContract
from vss.testing.contracts.hidden_inputs import HiddenInputs, watched
from vss.testing.contracts.observed_writer import is_legal_failure
from vss.testing.contracts.provider_bench import is_legal_failure as is_legal_failure_of_provider
from vss.testing.contracts.verdict import ContractBroken, not_applicable


@pytest.mark.parametrize(
    ("contract", "call", "name"),
    [
        (WriterContract, lambda c: c.test_a_whole_backup_succeeds(), "make_writer"),
        (ProviderContract, lambda c: c.test_a_whole_set_is_made(), "make_provider"),
        (VerifierContract, lambda c: c.test_the_class_attributes_identify_the_verifier(), "make_verifier"),
        (VerifierContract, lambda c: c.test_the_good_sample_is_good(), "sample_files"),
    ],
)
def test_a_factory_that_is_not_overridden_is_named(contract: type[Any], call: Any, name: str) -> None:
    with pytest.raises(NotImplementedError, match=f"override {name}"):
        call(contract())


def test_a_factory_that_returns_something_else_is_told() -> None:
    writer = type("Contract", (WriterContract,), {"make_writer": lambda self, host: 5})()
    provider = type("Contract", (ProviderContract,), {"make_provider": lambda self, ports: None})()

    with pytest.raises(ContractBroken, match="make_writer returned 5"):
        writer.test_a_whole_backup_succeeds()
    with pytest.raises(ContractBroken, match="make_provider returned None"):
        provider.test_a_whole_set_is_made()


def test_what_does_not_apply_is_skipped_with_its_reason() -> None:
    with pytest.raises(unittest.SkipTest, match="does not apply: no disk"):
        not_applicable("no disk")


def test_legal_failures_are_told_from_others() -> None:
    assert is_legal_failure(WriterError("no"))
    assert is_legal_failure(VssError("counts as non-retryable"))
    assert not is_legal_failure(WriterError("no", hresult=HResult.E_FAIL))
    assert not is_legal_failure(KeyError("no"))
    assert is_legal_failure_of_provider(ProviderVetoError("no"))
    assert not is_legal_failure_of_provider(VssError("no"))
    assert not is_legal_failure_of_provider(KeyError("no"))


def frame() -> FrameType:
    return sys._getframe(1)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (time.time, "time.time"),
        (time.monotonic_ns, "time.monotonic_ns"),
        (datetime.datetime.now, "datetime.now"),
        (datetime.date.today, "date.today"),
        (os.urandom, "os.urandom"),
        (random.random, "random, the module's own generator"),
    ],
)
def test_clocks_and_random_sources_are_charged_to_their_caller(function: Any, name: str) -> None:
    seen = HiddenInputs((__name__,))
    seen.profile(frame(), "c_call", function)

    assert [place.endswith(f": {name}") for place in seen.places] == [True]


@pytest.mark.parametrize("function", [len, random.Random(1).random, [].append, time.sleep])
def test_other_calls_are_not(function: Any) -> None:
    seen = HiddenInputs((__name__,))
    seen.profile(frame(), "c_call", function)
    seen.profile(frame(), "call", time.time)

    assert not seen.places


def test_callers_outside_the_packages_are_not_charged() -> None:
    seen = HiddenInputs(("somebody.else",))
    seen.profile(frame(), "c_call", time.time)

    assert not seen.places


def test_standard_modules_pass_the_blame_on() -> None:
    with watched((__name__,)) as seen:
        random.randint(1, 6)
        datetime.datetime.now(datetime.UTC)
    if not seen.is_watching:
        pytest.skip("another profiler is running")

    assert [place.partition(": ")[2] for place in seen.places] == ["random, the module's own generator", "datetime.now"]


def test_another_profiler_is_left_in_place() -> None:
    def profiler(*arguments: Any) -> None: ...

    previous = sys.getprofile()
    sys.setprofile(profiler)
    try:
        with watched((__name__,)) as seen:
            time.time()
        found = sys.getprofile()
    finally:
        sys.setprofile(previous)

    assert found is profiler
    assert not seen.is_watching
