"""Parquet files as people have them (encodings, compressions, nested and null columns), and the same rows as JSONL."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq

from fixture import DATA

FOLDER = DATA / "parquet"

ROWS = [
    {
        "prompt": f"prompt {i} naïve 東京",
        "completion": None if i == 3 else "word " * (i % 5),
        "messages": None if i == 5 else [
            {"role": "user", "content": f"question {i}", "weight": None},
            {"role": "assistant", "content": f"answer {i} 😀", "weight": 0.5},
        ][: i % 3],
        "score": i / 4,
        "label": i % 2 == 0,
        "count": i - 10,
        "source": ("web", "books")[i % 2],
    }
    for i in range(40)
]

SCHEMA = pa.schema([
    ("prompt", pa.string()), ("completion", pa.large_string()),
    ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.float64())]))),
    ("score", pa.float32()), ("label", pa.bool_()), ("count", pa.int64()),
    ("source", pa.dictionary(pa.int8(), pa.string())),
])


def generate() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(ROWS, schema=SCHEMA)
    # Row groups that end amid a batch of the reader, pages of a few rows.
    pq.write_table(table, FOLDER / "snappy.parquet", compression="snappy", row_group_size=13)
    pq.write_table(table, FOLDER / "zstd.parquet", compression="zstd", use_dictionary=False, data_page_version="2.0",
                   data_page_size=64, column_encoding={"count": "DELTA_BINARY_PACKED", "prompt": "DELTA_BYTE_ARRAY",
                                                       "score": "BYTE_STREAM_SPLIT"})
    pq.write_table(table, FOLDER / "gzip.parquet", compression="gzip", version="1.0")
    lines = []
    for row in ROWS:
        lines.append(json.dumps({key: value for key, value in row.items() if value is not None}, ensure_ascii=False))
    (FOLDER / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
