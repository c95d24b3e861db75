"""Volumes: block stores and their faults, the gate that holds writes, the extent file system, host directories, paths."""

from __future__ import annotations

from vss.volumes.block_store import (
    BLOCK_BYTES,
    SECTOR_BYTES,
    BlockDevice,
    BlockStore,
    ImageStore,
    MemoryStore,
    WritableBlockDevice,
)
from vss.volumes.block_volume import BlockVolume, VolumeDevice, WriteFilter
from vss.volumes.boot_record import VSS_HEADER_OFFSET, boot_record, volume_size_of
from vss.volumes.extent_file_system import ExtentFile, ExtentFileSystem
from vss.volumes.fault_store import FaultyStore, StoreEffect, StoreFault
from vss.volumes.host_volume import HostFileSystem, HostVolume
from vss.volumes.namespace import VolumeNamespace
from vss.volumes.paths import join_path, parse_path, split_path
from vss.volumes.planned_store import PlannedStore, planned_store
from vss.volumes.power_loss import PowerLossState, UnsyncedWrite, power_loss_states
from vss.volumes.store_log import RecordedStore, StoreState
from vss.volumes.write_gate import NO_LATENCY, Latency, WriteGate

__all__ = [
    "BLOCK_BYTES",
    "NO_LATENCY",
    "SECTOR_BYTES",
    "VSS_HEADER_OFFSET",
    "BlockDevice",
    "BlockStore",
    "BlockVolume",
    "ExtentFile",
    "ExtentFileSystem",
    "FaultyStore",
    "HostFileSystem",
    "HostVolume",
    "ImageStore",
    "Latency",
    "MemoryStore",
    "PlannedStore",
    "PowerLossState",
    "RecordedStore",
    "StoreEffect",
    "StoreFault",
    "StoreState",
    "UnsyncedWrite",
    "VolumeDevice",
    "VolumeNamespace",
    "WritableBlockDevice",
    "WriteFilter",
    "WriteGate",
    "boot_record",
    "join_path",
    "parse_path",
    "planned_store",
    "power_loss_states",
    "split_path",
    "volume_size_of",
]
