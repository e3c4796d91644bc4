"""What cannot be read is refused by name, with the next step; nothing is written."""

import shutil
import zipfile

import pytest
from click.testing import CliRunner

from mol_pipeline.cli import main
from mol_pipeline.databases.tables import plain_name, read_sheets, whole_number
from tests.databases.releases import Clip, casme_sq, examples, samm, write_table

# The head of an encrypted office file: an OLE container that holds the named stream.
PROTECTED = bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le")


def run(root, name="samm", *arguments):
    before = sorted(path for path in root.parent.rglob("*"))
    command = ["index", "--dataset", name, "--root", str(root), *map(str, arguments)]
    result = CliRunner().invoke(main, command)
    assert result.stdout == ""
    assert sorted(path for path in root.parent.rglob("*")) == before
    return result.exit_code, result.stderr


@pytest.fixture
def root(tmp_path):
    return samm([Clip(6, "006_1_2", "Anger")]).write(tmp_path / "root")


def table(root):
    return root / "SAMM_Micro_FACS_Codes_v2.xlsx"


def test_a_spreadsheet_that_is_cut_short(root):
    table(root).write_bytes(table(root).read_bytes()[:2000])
    code, stderr = run(root)
    assert code == 5
    assert "SAMM_Micro_FACS_Codes_v2.xlsx: cannot be read" in stderr
    assert "fetch it again" in stderr


def test_a_spreadsheet_with_a_password(root):
    table(root).write_bytes(PROTECTED)
    code, stderr = run(root)
    assert code == 5
    assert "is protected by a password" in stderr


@pytest.mark.parametrize("name", sorted(examples()))
def test_any_table_of_noise(tmp_path, name):
    release = examples()[name]
    where = release.write(tmp_path / "root")
    (where / release.table).write_bytes(bytes(range(256)) * 40)
    code, stderr = run(where, name)
    assert code == 5
    assert release.table in stderr


@pytest.mark.parametrize("name", sorted(set(examples()) - {"casme-sq"}))
def test_a_table_without_a_column(tmp_path, name):
    release = examples()[name]
    release.header = [one for one in release.header if not one.lower().startswith("onset")]
    code, stderr = run(release.write(tmp_path / "root"), name)
    assert code == 5
    assert "onset" in stderr.lower()


def test_casme_squared_with_one_sheet(tmp_path):
    release = casme_sq([Clip(15, "anger1_1", "negative")])
    release.sheets = {}
    code, stderr = run(release.write(tmp_path / "root"), "casme-sq")
    assert code == 5
    assert "has 1 sheet(s), the owners' has three" in stderr


def test_an_archive_that_is_not_unpacked(root):
    with zipfile.ZipFile(root / "SAMM.zip", "w") as archive:
        archive.writestr("SAMM/006/006_1_2/006_00005.jpg", b"")
    shutil.rmtree(root / "SAMM")
    code, stderr = run(root)
    assert code == 5
    assert "unpack SAMM.zip first" in stderr
    table(root).unlink()
    assert "is it inside SAMM.zip? unpack that first" in run(root)[1]
    assert "unpack it first" in run(root / "SAMM.zip")[1]


def test_two_annotations(root):
    other = samm([Clip(6, "006_1_2", "Fear")])
    other.table, other.frames = "SAMM_20181215_Micro_FACS_Codes_v2.xlsx", {}
    other.write(root)
    code, stderr = run(root)
    assert code == 5
    assert "several annotations" in stderr
    assert "choose one with --annotation" in stderr
    result = CliRunner().invoke(
        main,
        ["index", "--dataset", "samm", "--root", str(root), "--annotation", str(table(root))],
    )
    assert result.exit_code == 0


def test_a_second_file_that_only_looks_like_an_annotation(root):
    write_table(root / "Backup of SAMM_Micro_FACS_Codes_notes.xlsx", {"a": [["hello"]]})
    result = CliRunner().invoke(main, ["index", "--dataset", "samm", "--root", str(root)])
    assert result.exit_code == 0


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "/etc"])
def test_own_paths_outside_the_root(tmp_path, path):
    where = tmp_path / "root"
    (tmp_path / "secret").mkdir()
    write_table(where / "clips.csv", {"": [["path", "subject", "label"], [path, "a", "b"]]})
    code, stderr = run(where, "custom")
    assert code == 5
    assert "row 2" in stderr
    assert "lies outside the root" in stderr


@pytest.mark.parametrize("frames", ["../elsewhere", "/etc"])
def test_frames_outside_the_root(root, frames):
    code, stderr = run(root, "samm", "--frames", frames)
    assert code == 5
    assert "lies outside the root" in stderr


def test_own_list_without_a_column(tmp_path):
    where = tmp_path / "root"
    write_table(where / "clips.csv", {"": [["path", "subject"], ["a", "b"]]})
    code, stderr = run(where, "custom")
    assert code == 5
    assert "lacks the column(s) label" in stderr


@pytest.mark.parametrize("name", ["../006_1_2", "..", "/etc/passwd", "006_1_2/.."])
def test_clip_names_that_are_paths_find_nothing(tmp_path, name):
    release = samm([Clip(6, "006_1_2", "Anger")])
    release.rows.append({**release.rows[0], "Filename": name})
    where = release.write(tmp_path / "root")
    result = CliRunner().invoke(main, ["index", "--dataset", "samm", "--root", str(where)])
    assert result.exit_code == 0
    assert "no-folder 1" in result.stdout


def test_an_unknown_database_gets_the_nearest_name(root):
    code, stderr = run(root, "cassme2")
    assert code == 2
    assert "did you mean casme2" in stderr


@pytest.mark.parametrize("spelled", ["CASME-II", "cas(me)^2", "CAS(ME)^3", "smic", "SAMM-LV"])
def test_other_spellings_are_understood(root, spelled):
    code, stderr = run(root, spelled)
    assert code == 5, stderr  # the name is fine, the folder is another database's


def test_smic_has_no_annotation_to_name(root):
    code, stderr = run(root, "smic-hs", "--annotation", table(root))
    assert code == 5
    assert "SMIC has none" in stderr


def test_an_interval_without_end_is_a_slip(tmp_path):
    release = samm([Clip(6, "006_1_2", "Anger"), Clip(6, "006_1_3", "Anger")])
    release.rows[1]["Offset Frame"] = 10**12
    where = release.write(tmp_path)
    result = CliRunner().invoke(main, ["index", "--dataset", "samm", "--root", str(where)])
    assert "is longer than 1000000 frames" in result.stdout


@pytest.mark.parametrize(
    ("text", "value"), [("46", 46), ("46.0", 46), (" 46 ", 46), ("/", None), ("NaN", None)]
)
def test_whole_numbers(text, value):
    assert whole_number(text) == value


@pytest.mark.parametrize("text", ["4.5", "soon", "inf", "1e400"])
def test_other_cells_are_no_whole_numbers(text):
    with pytest.raises(ValueError, match="number"):
        whole_number(text)


def test_names_of_columns_are_compared_without_case_blanks_and_punctuation():
    assert plain_name(" Onset\nFrame ") == plain_name("OnsetFrame") == "onsetframe"


def test_csv_tables_may_use_semicolons_and_chinese_encodings(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes("Subject;Filename\n1;\u8868\u60c5\n".encode("gb18030"))
    assert read_sheets(path) == {"csv": [["Subject", "Filename"], ["1", "\u8868\u60c5"]]}
