from __future__ import annotations
from typing import Any
from vss.exit_codes import ExitCode

def test_a_full_backup_truncates_the_logs_below_the_checkpoint(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(120)
        backup = await bench.back_up()
        assert backup.exit_code == ExitCode.OK
        print(await bench.generations(), bench.last_truncation(), bench.logged())
        await bench.work(20)
        await bench.lose("D:")
        r = await bench.restore(backup)
        assert r.exit_code == ExitCode.OK, r
        assert await bench.missing() == []
    kit.play(script)
