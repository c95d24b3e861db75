"""Options as a file has them become those of a requestor; what means nothing is refused with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from vss.errors import ConfigurationError, VssError
from vss_requestors.backup import BackupRequestor
from vss_requestors.component_selection import ComponentName
from vss_requestors.restore import RestoreRequestor
from vss_requestors.verify_requestor import VerifyRequestor


def test_texts_and_lists_become_what_the_requestor_takes() -> None:
    backup = BackupRequestor().written_options({"components": ["Mail:A", "B"], "target": "/sets", "verify": False})
    restore = RestoreRequestor().written_options({"new_targets": ["D:\\a\\*.txt=E:\\b"], "additional_restores": True})

    assert backup == {
        "components": (ComponentName("Mail", "A"), ComponentName("", "B")),
        "target": Path("/sets"),
        "verify": False,
    }
    assert restore["new_targets"][0].alternate_path == "E:\\b"
    assert VerifyRequestor().written_options({"anything": 1}) == {"anything": 1}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"verfy": True}, "no option is called 'verfy'; did you mean 'verify'"),
        ({"records": 1}, "no option is called 'records'"),
        ({"components": "Mail"}, "components: expected a list, found 'Mail'"),
    ],
)
def test_what_means_nothing_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        BackupRequestor().written_options(options)


def test_a_new_target_that_is_none_is_refused() -> None:
    with pytest.raises(VssError, match="expected something like"):
        RestoreRequestor().written_options({"new_targets": ["nowhere"]})
