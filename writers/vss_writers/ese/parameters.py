"""Settings of an instance, with the engine's defaults where Exchange 2007 did not change them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import SECTOR_SIZE, is_out_of_space, join_path
from vss_writers.ese.layout import DEFAULT_PAGE_SIZE, PAGE_SIZES
from vss_writers.ese.log_file import EngineParameters, checkpoint_name
from vss_writers.ese.log_profile import LogProfile
from vss_writers.ese.log_stream import LOG_FILE_SIZE_MAX, LOG_FILE_SIZE_MIN
from vss_writers.ese.sites import AtSite, just_do


@dataclass(frozen=True, slots=True)
class InstanceParameters:
    """What an instance runs with.

    Attributes:
        base_name: three characters in front of every log name: ``E00`` for the first storage group.
        log_directory: where the logs are.
        system_directory: where the checkpoint file is; the log directory where empty.
        profile: how logs are named and sized.
        log_file_size: bytes of one generation, a whole number of sectors; 0: what the profile has.
        first_generation: number of the first generation where there are no logs yet.
        page_size: page size of every database of the instance.
        checkpoint_depth: bytes of log that recovery may have to read; beyond it pages are written.
        circular: whether generations are removed as soon as the checkpoint has passed them.
        cache_pages: clean pages kept per database.
        waypoint_generations: how many of the newest generations may be lost without losing consistency (0: none).
        patch_files: whether streaming backups deliver patch files, as up to Exchange 2000.
        computer_name: stands in new signatures.
        is_out_of_space: tells a full disk from other errors of the file system in use.
        at_site: what stands at the named sites of the engine's effects.
    """

    base_name: str
    log_directory: str
    system_directory: str = ""
    profile: LogProfile = LogProfile.EXCHANGE_2007
    log_file_size: int = 0
    first_generation: int = 1
    page_size: int = DEFAULT_PAGE_SIZE
    checkpoint_depth: int = 20 << 20
    circular: bool = False
    cache_pages: int = 4096
    waypoint_generations: int = 0
    computer_name: str = "ESE"
    patch_files: bool = False
    is_out_of_space: Callable[[BaseException], bool] = field(default=is_out_of_space, compare=False)
    at_site: AtSite = field(default=just_do, compare=False)

    def __post_init__(self) -> None:
        """Refuse what no instance can run with: ``InvalidParameter``."""
        if len(self.base_name) != 3:
            raise JetError(JetCode.InvalidParameter, f"base name of three characters expected, found {self.base_name!r}")
        if self.page_size not in PAGE_SIZES:
            raise JetError(JetCode.InvalidParameter, f"page size {self.page_size}, expected one of {PAGE_SIZES}")
        size = self.log_file_size or self.profile.log_file_size
        object.__setattr__(self, "log_file_size", size)
        if size % SECTOR_SIZE or not LOG_FILE_SIZE_MIN <= size <= LOG_FILE_SIZE_MAX or size < 4 * self.page_size:
            lowest = max(LOG_FILE_SIZE_MIN, 4 * self.page_size)
            detail = f"log file size {size}: whole sectors from {lowest} to {LOG_FILE_SIZE_MAX} expected"
            raise JetError(JetCode.InvalidParameter, detail)
        if not 1 <= self.first_generation < self.profile.generation_max:
            detail = f"first generation {self.first_generation:#x}, 1 to {self.profile.generation_max - 1:#x} expected"
            raise JetError(JetCode.InvalidParameter, detail)
        if not 0 <= self.waypoint_generations <= 1023:
            raise JetError(JetCode.InvalidParameter, f"waypoint of {self.waypoint_generations} generations, 0 to 1023 expected")

    @property
    def system_path(self) -> str:
        """Directory of the checkpoint file."""
        return self.system_directory or self.log_directory

    @property
    def checkpoint_path(self) -> str:
        """Path of the checkpoint file."""
        return join_path(self.system_path, checkpoint_name(self.base_name))

    @property
    def guard_path(self) -> str:
        """Path of the page guard."""
        return join_path(self.system_path, f"{self.base_name}guard.tmp")

    def engine_parameters(self) -> EngineParameters:
        """What logs and checkpoint remember of this."""
        return EngineParameters(
            system_path=self.system_path,
            log_path=self.log_directory,
            is_circular=self.circular,
            log_file_sectors=self.log_file_size // SECTOR_SIZE,
            cache_buffers=self.cache_pages,
        )
