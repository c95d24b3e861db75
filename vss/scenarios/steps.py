"""All kinds of steps; ``do`` in the file tells them apart."""

from __future__ import annotations

from vss.scenarios.application_steps import CrashService, Facts, Operable, Operate, StartService, StopService
from vss.scenarios.backup_steps import Backup, Restore, Verify
from vss.scenarios.file_steps import CopyFile, DeleteFile, Files, FlipBit, RenameFile, TruncateFile, WriteFile
from vss.scenarios.machine_steps import Check, Fill, JumpClock, Lose, PowerCut, Replace, Restart, Sleep, Wait, Work
from vss.scenarios.session_step import SessionCalls
from vss.scenarios.shadow_steps import DeleteShadows, LimitShadows, ReadShadow, Status, UseShadow
from vss.scenarios.step import SETS, Step

AnyStep = (
    Work | Sleep | Wait | Check | JumpClock | Fill | Lose | Replace | Restart | PowerCut
    | Backup | Restore | Verify | SessionCalls
    | Files | FlipBit | WriteFile | TruncateFile | DeleteFile | CopyFile | RenameFile
    | Operate | StopService | StartService | CrashService | Facts
    | Status | ReadShadow | DeleteShadows | UseShadow | LimitShadows
)  # fmt: skip
"""What a method may hold."""

__all__ = ["SETS", "AnyStep", "Backup", "Operable", "PowerCut", "Restart", "Restore", "Step", "Verify"]
