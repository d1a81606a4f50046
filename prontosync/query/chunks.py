"""Rows as files of other formats, in pieces of bytes, so that no more than a batch is in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

_NO_HEADER = pyarrow.csv.WriteOptions(quoting_style="needed", include_header=False)
GROUP_ROWS = 65_536


def csv_chunks(names: Sequence[str], batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """CSV with a header line; NULL is an empty field, an empty text ``""``. Columns are numbers, texts and booleans."""
    yield _head(names)
    for batch in batches:
        yield _csv(batch)


def parquet_chunks(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """One Parquet file, zstd, row groups of at most ``GROUP_ROWS`` rows."""
    sink = io.BytesIO()
    with pyarrow.parquet.ParquetWriter(_Draining(sink), schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch, row_group_size=GROUP_ROWS)
            yield _drained(sink)
    yield _drained(sink)


class _Draining(io.RawIOBase):
    """A sink whose position goes on counting when its bytes have been taken out."""

    def __init__(self, sink: io.BytesIO) -> None:
        super().__init__()
        self._sink, self._position = sink, 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: object) -> int:
        count = self._sink.write(data)  # type: ignore[arg-type]
        self._position += count
        return count


def _drained(sink: io.BytesIO) -> bytes:
    data = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return data


def _csv(batch: pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    pyarrow.csv.write_csv(batch, sink, _NO_HEADER)
    return sink.getvalue()


def _head(names: Sequence[str]) -> bytes:
    return (",".join('"' + name.replace('"', '""') + '"' for name in names) + "\n").encode()
