"""What ``vss lab show`` says of a machine, as JSON-ready data. Reads only what the lab and its parts tell of themselves."""

from __future__ import annotations

from typing import Any

from vss.lab.application import Application
from vss.lab.lab import Lab


async def facts_of(lab: Lab) -> dict[str, Any]:
    """Return volumes, providers, the shadow copies that the providers have now, writers with their applications, workloads."""
    return {
        "machine": lab.name,
        "now_ns": lab.ports.clock.now_ns(),
        "volumes": [
            {"name": each.name, "size_bytes": each.size_bytes, "id": str(each.volume_id), "is_lost": each.is_lost}
            for each in lab.volumes.values()
        ],
        "providers": [
            {"name": each.name, "id": str(each.provider_id), "type": each.type.name.lower()}
            for each in lab.coordinator.providers
        ],
        "shadow_copies": [
            {"id": str(each.snapshot_id), "set": str(each.snapshot_set_id), "volume": each.original_volume}
            for each in await lab.coordinator.query_snapshots()
        ],
        "writers": [
            {
                "name": name,
                "writer": each.name,
                "id": str(each.writer_class_id),
                **(each.describe() if isinstance(each, Application) else {}),
            }
            for name, each in lab.writers.items()
        ],
        "workloads": [{"name": name, **each.report()} for name, each in lab.workloads.items()],
    }
