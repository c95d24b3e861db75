"""An image of a volume says what its bytes say, whatever blocks it keeps; faults of a medium prove nothing about whence."""

from __future__ import annotations

import json
import random

from vss.simulation.invariants import BackupSetFiles, Catalogue, Evidence, check
from vss.simulation.invariants.image import BLOCK, Image

DATA = random.Random(1).randbytes(BLOCK) + bytes(2 * BLOCK) + random.Random(2).randbytes(BLOCK // 2)


def test_an_image_is_its_bytes() -> None:
    image = Image.of(DATA)

    assert bytes(image) == DATA
    assert image == DATA
    assert image != DATA[:-1]
    assert len(image) == len(DATA)
    assert sorted(image.blocks) == [0, 3]
    assert image[BLOCK - 5 : BLOCK + 5] == DATA[BLOCK - 5 : BLOCK + 5]
    assert image.read(len(DATA) - 3, 10) == DATA[-3:]
    assert image.read(len(DATA), 1) == b""
    assert image.find(DATA[100:120]) == 100
    assert DATA[7:40] in image
    assert Image.of(image) is image
    assert (image == 3) is False


def test_differences_are_named_by_block() -> None:
    image = Image.of(DATA)
    changed = image.written([(2 * BLOCK - 2, b"abcd"), (len(DATA) - 1, b"yz"), (len(DATA) + 9, b"beyond")])

    assert image.different(changed) == [1, 2, 3]
    assert bytes(changed)[2 * BLOCK - 2 : 2 * BLOCK + 2] == b"abcd"
    assert (len(changed), bytes(changed)[-1:]) == (len(DATA), b"y")
    assert Image({}, BLOCK).different(Image({}, BLOCK + 1)) == [1]
    assert image.different(image) == []


class _Device:
    def read(self, offset: int, length: int) -> bytes:
        return DATA[offset : offset + length]


def test_a_device_is_read_whole_or_in_part() -> None:
    assert Image.of_device(_Device(), len(DATA)) == DATA
    assert sorted(Image.of_device(_Device(), len(DATA), [3]).blocks) == [3]


def test_bytes_that_a_medium_damaged_say_nothing_about_where_they_were_read() -> None:
    files = {"files/d/a": b"1", "manifest.json": json.dumps({"files": []}).encode()}
    wrong = BackupSetFiles(files, {"D:\\a": b"2"}, is_exact=False)
    struck = BackupSetFiles(files, {"D:\\a": b"2"}, has_faults=True, is_exact=False)

    assert check(Evidence((), sets={"s": wrong}), ["B1"]).broken_ids == ("B1",)
    assert check(Evidence((), sets={"s": struck}), ["B1"]).is_good
    assert list(check(Evidence((), sets={"s": wrong}), ["B11"]).not_judged) == ["B11"]


def test_a_list_that_nobody_asked_for_is_not_compared() -> None:
    assert check(Evidence((), catalogue=Catalogue((), ("x",))), ["S9"]).broken_ids == ("S9",)
    assert check(Evidence((), catalogue=Catalogue(None, ("x",))), ["S9"]).is_good
