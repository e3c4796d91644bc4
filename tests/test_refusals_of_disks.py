"""What a disk refuses, each in one short sentence with the advice that helps."""

import errno

import pytest

from mol_pipeline.contract.errors import REFUSALS, refusal, refusal_number, unwritable
from mol_pipeline.graph.workplace import LASTING, cannot_write

WORDS = {
    errno.ENOSPC: ("the disk is full", "make room"),
    errno.EDQUOT: ("your disk quota is used up", "remove files of yours"),
    errno.EROFS: ("the file system is read-only", "have it mounted for writing"),
    errno.EACCES: ("no permission to write there", "ask for the right to write"),
    errno.EIO: ("the disk reports an input/output error", "have it looked at"),
}
OF_HDF5 = (
    "Can't synchronously write data (file write failed: time = Wed Nov 25 06:25:47 2026\n, "
    "filename = '/out/.build/shard-00000.h5', file descriptor = 19, errno = 28, error message = "
    "'No space left on device', buf = 0x7f10a4000b70, total write size = 1048576, offset = 2048)"
)


@pytest.mark.parametrize("number", sorted(REFUSALS))
def test_each_refusal_is_short_and_only_a_full_disk_is_told_to_make_room(number, tmp_path):
    said = str(cannot_write(tmp_path, number, OF_HDF5))
    assert said.startswith(f"{tmp_path}: cannot be written: ")
    assert len(said) - len(str(tmp_path)) < 160
    assert ("make room" in said) == (number == errno.ENOSPC)
    reason, advice = WORDS.get(number, ("", ""))
    assert reason in said and advice in said
    ours = str(unwritable(tmp_path, OSError(number, OF_HDF5)))
    assert reason in ours and ours.endswith("or choose another --out")
    assert len(ours) - len(str(tmp_path)) < 160


def test_an_error_of_hdf5_is_known_by_the_number_in_its_words():
    assert refusal_number(OSError(OF_HDF5)) == errno.ENOSPC
    assert refusal_number(OSError(errno.EROFS, "x")) == errno.EROFS
    assert refusal_number(OSError("no number")) is None


@pytest.mark.parametrize("number", sorted({None, 0, errno.EBUSY} | LASTING, key=str))
def test_whatever_it_is_the_words_are_few(number):
    reason, advice = refusal(number, OF_HDF5)
    assert reason and advice and "\n" not in reason
    assert len(reason) < 130
    assert refusal(None, "")[0] == "the system does not say why"
