"""Arrays of clips that are too large for memory: rows on disk, one in memory at a time.

A film of an hour has 100,000 frames: 2 GB of aligned pictures and 7 GB of flow. Mapping such files
into memory would not help, since a process is charged for the pages that it touched.
"""

import itertools
import tempfile
import weakref
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

SPILL_BYTES = 128 * 2**20
"""Arrays of more bytes lie on disk."""


class RowFile:
    """Rows of one shape in a file without a name, which is gone with the object.

    Args:
        row_shape: Of one row.
        dtype: Of its numbers.
        folder: On whose disk the file lies; None: where temporary files do.
    """

    def __init__(
        self, row_shape: tuple[int, ...], dtype: DTypeLike, folder: Path | None = None
    ) -> None:
        self.dtype = np.dtype(dtype)
        self._row_shape = row_shape
        self._bytes = self.dtype.itemsize * int(np.prod(row_shape))
        self._count = 0
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        weakref.finalize(self, self._file.close)  # whoever holds the rows holds the file

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, then the shape of one."""
        return (self._count, *self._row_shape)

    def __len__(self) -> int:
        return self._count

    def append(self, row: NDArray[Any]) -> int:
        """Add a row; returns its number."""
        if row.shape != self._row_shape:
            raise ValueError(f"a row has the shape {row.shape}, not {self._row_shape}")
        self._file.seek(self._count * self._bytes)
        self._file.write(np.ascontiguousarray(row, dtype=self.dtype).tobytes())
        self._count += 1
        return self._count - 1

    def row(self, number: int) -> NDArray[Any]:
        """One row, read anew."""
        self._file.seek(number * self._bytes)
        return _row(self._file, self._bytes, self.dtype, self._row_shape)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self.row(number) for number in range(self._count))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.stack(list(self)).astype(dtype or self.dtype)


class StoredRows:
    """Rows of an array in an `.npz` file that `write_npz` wrote, read one after the other."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._member = f"{name}.npy"
        with zipfile.ZipFile(path) as archive, archive.open(self._member) as file:
            self.shape, self.dtype = _header(file)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        size = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        with zipfile.ZipFile(self._path) as archive, archive.open(self._member) as file:
            _header(file)
            for _ in range(len(self)):
                yield _row(file, size, self.dtype, self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.stack(list(self)).astype(dtype or self.dtype)


Rows = NDArray[Any] | RowFile | StoredRows


def collected(
    rows: Iterable[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: DTypeLike,
    folder: Path | None = None,
) -> NDArray[Any] | RowFile:
    """Rows as they come, in memory if that is small.

    Args:
        rows: As many as `shape` says.
        shape: Of the whole array.
        dtype: Of the whole array.
        folder: See `RowFile`.
    """
    if is_large(shape, dtype):
        file = RowFile(shape[1:], dtype, folder)
        for row in rows:
            file.append(row)
        return file
    array = np.empty(shape, dtype)
    for number, row in enumerate(rows):
        array[number] = row
    return array


def joined(parts: Sequence[Rows], folder: Path | None = None) -> NDArray[Any] | RowFile:
    """Arrays one after the other; on disk if that is large."""
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    return collected(itertools.chain.from_iterable(parts), shape, parts[0].dtype, folder)


def is_large(shape: tuple[int, ...], dtype: DTypeLike) -> bool:
    """Whether an array belongs on disk."""
    return int(np.prod(shape)) * np.dtype(dtype).itemsize > SPILL_BYTES


def write_npz(file: IO[bytes], arrays: Mapping[str, Rows]) -> None:
    """As `numpy.savez`, row by row where the rows lie on disk."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if isinstance(array, np.ndarray):
                    np.lib.format.write_array(member, array, allow_pickle=False)
                    continue
                header = {
                    "descr": np.lib.format.dtype_to_descr(array.dtype),
                    "fortran_order": False,
                    "shape": array.shape,
                }
                np.lib.format.write_array_header_1_0(member, header)
                for row in array:
                    member.write(row.tobytes())


def read_npz(path: Path) -> dict[str, Rows]:
    """The arrays of a file that `write_npz` wrote; large ones stay on disk.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: If it is none.
    """
    arrays: dict[str, Rows] = {}
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            stored = StoredRows(path, name)
            is_spilled = len(stored.shape) > 1 and is_large(stored.shape, stored.dtype)
            arrays[name] = stored if is_spilled else file[name]
    return arrays


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"holds an array of format {version}")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if is_fortran:
        raise ValueError("holds an array that is stored by columns")
    return shape, dtype


def _row(file: IO[bytes], size: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    content = file.read(size)
    if len(content) != size:
        raise EOFError("ends in the middle of a row")
    return np.frombuffer(content, dtype).reshape(shape)
