"""Readers that nobody here wrote open our files: libesedb, dissect.esedb, impacket. Each skips where it is not installed."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.writers.ese.kit import build_sample, run, sample, sample_bytes

PAGE_SIZES = pytest.mark.parametrize("page_size", [4096, 8192])


def plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


@pytest.fixture
def database(page_size: int, tmp_path: Path) -> Path:
    path = tmp_path / "DB1.edb"
    path.write_bytes(sample_bytes(page_size))
    return path


@PAGE_SIZES
def test_esedbinfo_finds_our_tables_and_no_wrong_checksum(database: Path, page_size: int) -> None:
    if shutil.which("esedbinfo") is None:
        pytest.skip("needs esedbinfo of libesedb-utils")
    result = subprocess.run(["esedbinfo", "-v", str(database)], capture_output=True, text=True, check=True, timeout=60)

    assert "mismatch" not in result.stdout + result.stderr
    assert "corrupt" not in result.stderr
    for name in ("MSysObjects", "MSysObjectsShadow", "Messages", "ByFolder (7)", "ByTag (8)"):
        assert name in result.stdout
    assert f"Page size:\t\t{page_size}" in result.stdout or str(page_size) in result.stdout


@PAGE_SIZES
def test_esedbinfo_would_notice_a_wrong_checksum(database: Path, page_size: int) -> None:
    """The judge itself is judged: it reports the one flipped bit it is shown."""
    if shutil.which("esedbinfo") is None:
        pytest.skip("needs esedbinfo of libesedb-utils")
    data = bytearray(database.read_bytes())
    data[5 * page_size + page_size // 2] ^= 1
    database.write_bytes(data)
    result = subprocess.run(["esedbinfo", "-v", str(database)], capture_output=True, text=True, check=False, timeout=60)

    assert "mismatch in page" in result.stderr


@PAGE_SIZES
def test_libesedb_reads_our_rows(database: Path, page_size: int) -> None:
    pyesedb = pytest.importorskip("pyesedb", reason="needs libesedb-python")
    rows = list(sample(page_size).rows.items())
    rows.sort()
    file = pyesedb.file()
    file.open(str(database))
    try:
        table = file.get_table_by_name("Messages")
        assert table.get_number_of_records() == len(rows)
        names = [table.get_column(number).name for number in range(table.get_number_of_columns())]
        for number, (_, values) in enumerate(rows):
            record = table.get_record(number)
            assert record.get_value_data_as_integer(names.index("Id")) == values["Id"]
            subject = record.get_value_data_as_string(names.index("Subject"))
            assert (subject or None) == (values.get("Subject") or None)
            body = names.index("Body")
            if "Body" not in values:
                assert record.get_value_data(body) is None
            elif record.is_long_value(body):
                assert record.get_value_data_as_long_value(body).get_data() == values["Body"]
            else:
                assert record.get_value_data(body) == values["Body"]
    finally:
        file.close()


@PAGE_SIZES
def test_dissect_reads_our_rows_and_finds_them_through_every_index(page_size: int) -> None:
    esedb = pytest.importorskip("dissect.esedb", reason="needs dissect.esedb")
    rows = sample(page_size).rows
    database = esedb.EseDB(io.BytesIO(sample_bytes(page_size)))
    table = database.table("Messages")

    assert [each.name for each in database.tables()] == ["MSysObjects", "MSysObjectsShadow", "Messages"]
    records = {bytes(record._node.key): record for record in table.records()}
    assert set(records) == set(rows)
    for key, values in rows.items():
        assert {name: plain(records[key].get(name)) for name in table.column_names} == {
            name: values.get(name) for name in table.column_names
        }
    for values in rows.values():
        assert table.index("ById").search(Id=values["Id"]).get("Tag") == values["Tag"]
        assert table.index("ByTag").search(Tag=values["Tag"]).get("Id") == values["Id"]
        found = table.index("ByFolder").cursor().find_all(Folder=values["Folder"], Delivered=values["Delivered"])
        assert values["Id"] in [record.get("Id") for record in found]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@PAGE_SIZES
def test_impacket_reads_our_rows(database: Path, page_size: int) -> None:
    """Its ``close`` leaves the file to the garbage collector, hence the warnings let through."""
    ese = pytest.importorskip("impacket.ese", reason="needs impacket")
    rows = sorted(sample(page_size).rows.items())
    file = ese.ESENT_DB(str(database))
    file.mountDB()
    try:
        cursor = file.openTable("Messages")
        found: list[dict[bytes, Any]] = []
        while (record := file.getNextRow(cursor)) is not None:
            found.append(record)
        assert [record[b"Id"] for record in found] == [values["Id"] for _, values in rows]
        assert [record[b"Delivered"] for record in found] == [values.get("Delivered") for _, values in rows]
    finally:
        file.close()


@pytest.mark.slow
def test_a_large_database_after_many_splits_and_removals_is_read_by_libesedb(tmp_path: Path) -> None:
    if shutil.which("esedbinfo") is None:
        pytest.skip("needs esedbinfo of libesedb-utils")
    pyesedb = pytest.importorskip("pyesedb", reason="needs libesedb-python")
    large = run(build_sample(4096, 1500))
    path = tmp_path / "large.edb"
    path.write_bytes(large.to_bytes())
    result = subprocess.run(["esedbinfo", "-v", str(path)], capture_output=True, text=True, check=True, timeout=60)
    assert "mismatch" not in result.stdout + result.stderr
    file = pyesedb.file()
    file.open(str(path))
    try:
        table = file.get_table_by_name("Messages")
        found = [table.get_record(number).get_value_data_as_integer(0) for number in range(table.get_number_of_records())]
        assert found == sorted(values["Id"] for values in large.rows.values())
    finally:
        file.close()
