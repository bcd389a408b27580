"""Writes records in a file of JSON lines as one Parquet file; a program of its own, run by a Python that has pyarrow.

    python parquet_writer.py COLUMNS RECORDS TARGET

COLUMNS is a JSON list of `{name, part, path, kind}`. Beside these columns, `value` and `common` hold the documents
whole, as JSON. Nothing else of Locker is imported: what packages it stands on may not be where pyarrow is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

ROWS_PER_GROUP = 20_000
_MICRO = 1_000_000
_TIME_MAX_S = 253_402_300_800


def main(columns_file: str, records_file: str, target: str) -> None:
    """Write TARGET, flushed by whoever asked for it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: list[dict[str, Any]] = json.loads(Path(columns_file).read_text(encoding="utf-8"))
    kinds = {"text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    fields = [
        pa.field(column["name"], pa.timestamp("us", tz="UTC") if column["part"] == "at" else kinds[column["kind"]])
        for column in columns
    ]
    documents = [_free(name, {column["name"] for column in columns}) for name in ("value", "common")]
    schema = pa.schema([*fields, *(pa.field(name, pa.string()) for name in documents)])
    with (
        Path(records_file).open(encoding="utf-8") as lines,
        pq.ParquetWriter(target, schema, compression="zstd") as writer,
    ):
        for records in _groups(lines):
            cells = [[_cell(column, record) for record in records] for column in columns]
            cells += [
                [json.dumps(record[part], ensure_ascii=False) for record in records] for part in ("value", "common")
            ]
            arrays = [pa.array(found, type=field.type) for found, field in zip(cells, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _groups(lines: Iterator[str]) -> Iterator[list[Any]]:
    while group := [json.loads(line) for line in islice(lines, ROWS_PER_GROUP)]:
        yield group


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _cell(column: dict[str, Any], record: Any) -> Any:
    if column["part"] == "key":
        return record["key"]
    if column["part"] == "at":
        at = record["at"]
        return int(at * _MICRO) if -_TIME_MAX_S < at < _TIME_MAX_S else None
    found = record[column["part"]]
    for name in column["path"]:
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            found = None
    return None if isinstance(found, dict | list) or found is None else _fitting(found, column["kind"])


def _fitting(found: Any, kind: str) -> Any:
    """The value as its column takes it: where kinds were mixed, all are text."""
    if kind == "text":
        return found if isinstance(found, str) else json.dumps(found)
    return float(found) if kind == "float" else found


if __name__ == "__main__":
    main(*sys.argv[1:])
