"""Verification as a registered requestor, so that a scenario can judge a backup set as ``vss verify`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vss.roles.requestor import Machine, Requestor
from vss_requestors.results import SetVerification
from vss_requestors.verify import verify_set


class VerifyRequestor(Requestor):
    """Verifies the backup set in ``source`` with the machine's verifiers; opens no session and changes nothing."""

    name = "verify"

    async def run(self, machine: Machine, **options: Any) -> SetVerification:
        """Verify.

        Raises:
            NotFoundError: no set there.
            BackupSetError: the set's own documents are missing or damaged, or it was never finished.
        """
        source: Path = options["source"]
        return await verify_set(machine.ports, source, machine.verifiers)
