"""Tables as people save them: encodings, merged cells, line breaks, Chinese heads, names."""

import unicodedata

import pytest
import xlsxwriter
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mol_pipeline.cli import main
from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.adapters.custom import Custom
from mol_pipeline.databases.registry import ADAPTERS
from mol_pipeline.databases.tables import is_absent, plain_name, read_sheets, read_table
from mol_pipeline.databases.text import LEGACY, decode_table, tables_encoded
from tests.databases.releases import Clip, examples, samm
from tests.sources import CASES

TEXTS = {
    "western": "path;subject;label\na;Müller;dégoût\nb;Zoë;joie\nc;Núñez;été – hiver\n",
    "chinese": "路径,被试,标签\na,王伟,高兴\nb,李娜,惊讶\nc,张婷,厌恶\n",
    "traditional": "路徑,被試,標籤\na,王偉,高興\nb,李娜,驚訝\n",
    "japanese": "パス,名前,感情\na,田中,驚き\nb,すずき,嬉しい\n",
    "russian": "путь,имя,метка\na,Иван,радость\n",
}
SAVED_AS = {
    "western": ("cp1252", "mac_roman"),
    "chinese": ("gb18030",),
    "traditional": ("big5",),
    "japanese": ("cp932",),
    "russian": ("cp1251",),
}
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")


@pytest.mark.parametrize("kind", sorted(TEXTS))
def test_a_text_is_read_as_it_was_written_whatever_it_was_saved_in(tmp_path, kind):
    for encoding in (*UNICODE, *SAVED_AS[kind]):
        decoded = decode_table(TEXTS[kind].encode(encoding), tmp_path / "t.csv")
        assert decoded.text == unicodedata.normalize("NFC", TEXTS[kind])
        assert decoded.is_unicode == (encoding in UNICODE)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    words=st.lists(
        st.sampled_from(["Müller", "dégoût", "Zoë", "Größe", "joie", "été"]), min_size=1
    ),
    name=st.sampled_from(sorted(LEGACY)),
)
def test_western_words_are_right_or_refused_in_every_encoding(tmp_path_factory, words, name):
    text = ";".join(words)
    codec = LEGACY[name][0]
    try:
        content = text.encode(codec)
    except UnicodeEncodeError:
        return
    path = tmp_path_factory.getbasetemp() / "t.csv"
    refusal, read = "", text
    try:
        read = decode_table(content, path).text
    except SourceError as error:
        refusal = str(error)
    assert read == text
    assert not refusal or "--encoding" in refusal


@pytest.mark.parametrize("text", ["경로,이름\na,김민수\n", "s,l\n1,生活\n"])
def test_where_two_encodings_fit_the_user_is_asked(tmp_path, text):
    content = text.encode("euc_kr" if "경" in text else "gb18030")
    try:
        decoded = decode_table(content, tmp_path / "t.csv")
    except SourceError as error:
        words = str(error)
    else:
        words = ""
    if words:
        assert "cannot be told" in words
        with tables_encoded("euc_kr" if "경" in text else "gb18030"):
            decoded = decode_table(content, tmp_path / "t.csv")
    assert decoded.text == text


def test_what_fits_nowhere_or_is_cut_is_refused(tmp_path):
    for content in (bytes(range(128, 256)) * 3, "表情".encode("gb18030")[:3], b"a\0b\0\0\1c"):
        with pytest.raises(SourceError, match=r"t\.csv"):
            decode_table(content, tmp_path / "t.csv")
    with tables_encoded("utf-8"), pytest.raises(SourceError, match="is not written in utf-8"):
        decode_table("Müller".encode("cp1252"), tmp_path / "t.csv")


def own(root, table, encoding="utf-8", paths=("a", "b", "c")):
    for path in paths:
        (root / path).mkdir(parents=True)
        for k in range(3):
            (root / path / f"{k}.png").touch()
    (root / "own.csv").write_bytes(table.encode(encoding))
    return root


def run(root, *more):
    command = ["index", "--dataset", "custom", "--root", str(root), *more]
    return CliRunner().invoke(main, command)


def test_the_report_says_which_encoding_was_taken_and_the_option_overrules_it(tmp_path):
    root = own(tmp_path, TEXTS["western"], "cp1252")
    found = run(root)
    assert "note: own.csv is read as windows-1252, Western European" in found.stdout
    assert "Müller" in found.stdout
    forced = run(root, "--encoding", "cp1250")
    assert "own.csv is read as cp1250" in forced.stdout
    assert "dégoűt" in forced.stdout
    assert run(root, "--encoding", "gb18030").exit_code == 5
    assert run(root, "--encoding", "klingon").exit_code == 2


def test_chinese_heads_are_read(tmp_path):
    index = Custom().index(own(tmp_path, TEXTS["chinese"], "gb18030"))
    assert [video.subject for video in index.videos] == ["张婷", "李娜", "王伟"]


@pytest.mark.parametrize("name", ["casme", "casme2", "casme3", "mmew"])
def test_chinese_heads_of_the_chinese_databases(tmp_path, name):
    heads = {
        "subject": "被试",
        "filename": "文件名",
        "onset": "起始帧",
        "onsetf": "起始帧",
        "onsetframe": "起始帧",
        "apex": "顶点帧",
        "apexf1": "顶点帧",
        "apexframe": "峰值帧",
        "offset": "结束帧",
        "offsetf": "终止帧",
        "offsetframe": "结束帧",
        "emotion": "情绪",
        "estimatedemotion": "情绪类别",
    }
    plain = ADAPTERS[name].index(examples()[name].write(tmp_path / "plain"))
    release = examples()[name]
    translated = {head: heads.get(plain_name(head), head) for head in release.header}
    assert len(set(translated.values())) == len(translated)
    assert sum(map(str.isascii, translated.values())) < len(translated) - 4
    release.header = [translated[head] for head in release.header]
    release.rows = [{translated.get(k, k): v for k, v in row.items()} for row in release.rows]
    assert ADAPTERS[name].index(release.write(tmp_path / "chinese")).videos == plain.videos


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_are_compared_in_one_form(tmp_path, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    folder = unicodedata.normalize(other, "Müller")
    table = unicodedata.normalize(form, "path,subject,label\nx/Müller/7,Müller,sad\n")
    (tmp_path / "x" / folder / "7").mkdir(parents=True)
    for k in range(3):
        (tmp_path / "x" / folder / "7" / f"{k}.png").touch()
    (tmp_path / "own.csv").write_text(table, encoding="utf-8")
    (video,) = Custom().index(tmp_path).videos
    assert (tmp_path / video.folder).is_dir()
    assert video.subject == "Müller"


def test_folders_of_a_release_are_found_in_either_form(tmp_path):
    release = samm([Clip(6, "006_ü_2", "Anger")])
    release.frames = {unicodedata.normalize("NFD", k): v for k, v in release.frames.items()}
    assert len(ADAPTERS["samm"].index(release.write(tmp_path)).videos) == 1


def test_a_line_break_in_a_cell_is_a_blank(tmp_path):
    root = own(tmp_path, 'path,subject,label\na,Anna,"very\nhappy"\nb,Ben,"sad\r\n or so"\n')
    assert [video.raw_label for video in Custom().index(root).videos] == ["very happy", "sad or so"]
    with xlsxwriter.Workbook(str(tmp_path / "t.xlsx")) as book:
        book.add_worksheet().write_row(0, 0, ["Onset\nFrame", "very\nhappy"])
    assert read_sheets(tmp_path / "t.xlsx")["Sheet1"] == [["Onset Frame", "very happy"]]


def test_a_quotation_mark_left_open_is_named(tmp_path):
    root = own(tmp_path, 'path,subject,label\na,Anna,"happy\nb,Ben,sad\n')
    assert "is a quotation mark left open?" in run(root).stderr


@pytest.mark.parametrize(
    "cell", ["\\", "–", "—", "——", "--", "−", " / ", "／", "N/A", "无", "null", ""]
)
def test_what_people_write_for_none(tmp_path, cell):
    assert is_absent(cell)
    root = own(tmp_path, f"path,subject,label,onset,apex,offset\na,Anna,sad,{cell},{cell},{cell}\n")
    (video,) = Custom().index(root).videos
    assert len(video.frames) == 3


def test_a_known_error_is_put_right_whatever_sign_stands_for_none(tmp_path):
    for k, sign in enumerate(("/", "\\", "–")):
        release = examples()["casme2"]
        row = dict(release.rows[0])
        names = {plain_name(key): key for key in row}
        row[names["subject"]], row[names["filename"]] = 4, "EP12_01f"
        row[names["onsetframe"]], row[names["offsetframe"]] = 270, 290
        row[names["apexframe"]] = sign
        release.rows = [row]
        release.frames = {"RAW/sub04/EP12_01f": [f"img{n}.jpg" for n in range(270, 291)]}
        (video,) = ADAPTERS["casme2"].index(release.write(tmp_path / str(k))).videos
        assert video.key_frames.apex == 279
        assert video.key_frames.apex_source == "estimated"


def test_merged_cells_are_filled_down_and_it_is_said(tmp_path):
    with xlsxwriter.Workbook(str(tmp_path / "t.xlsx")) as book:
        sheet = book.add_worksheet()
        sheet.merge_range(0, 0, 0, 2, "invented rows")
        sheet.write_row(1, 0, ["Subject", "Filename", "Emotion"])
        sheet.merge_range(2, 0, 4, 0, "6")
        for row, name in enumerate(("006_1_2", "006_1_3", "006_1_4"), start=2):
            sheet.write_row(row, 1, [name, "Anger"])
        sheet.write_row(5, 0, ["", "007_1_1", "Anger"])
    columns = {"subject": ("Subject",), "filename": ("Filename",)}
    table = read_table(tmp_path / "t.xlsx", columns)
    assert [row.text("subject") for row in table] == ["6", "6", "6", ""]
    assert table.notes == ("t.xlsx: 2 empty cells below merged ones are read as those",)


def test_an_archive_in_capitals_is_seen(tmp_path):
    release = samm([Clip(6, "006_1_2", "Anger")])
    release.frames = {}
    root = release.write(tmp_path)
    (root / "SAMM.ZIP").touch()
    result = CliRunner().invoke(main, ["index", "--dataset", "samm", "--root", str(root)])
    assert "unpack SAMM.ZIP first" in result.stderr


def test_what_is_said_of_own_videos_is_a_sentence(tmp_path):
    (tmp_path / "own.csv").write_text("path,subject,label\nnowhere,a,b\n")
    said = run(tmp_path).stderr
    assert "no clip of own videos has frames there" in said
    assert "nowhere: is not there" in said
    (tmp_path / "own.csv").rename(tmp_path / "own.xls")
    assert "no annotation of own videos (*.csv) in it or below" in run(tmp_path).stderr
    assert "--root must name the folder of own videos" in run(tmp_path / "x").stderr


@pytest.mark.skipif(not CASES.is_dir(), reason="no small inputs beside the project")
def test_the_reported_tables(tmp_path):
    decoded = decode_table((CASES / "cp1252.csv").read_bytes(), CASES / "cp1252.csv")
    assert "Müller;dégoût" in decoded.text
    name = unicodedata.normalize("NFD", "Müller.mp4")
    (tmp_path / name).symlink_to(CASES / "base.mp4")
    (tmp_path / "t.csv").write_bytes((CASES / "nfc_name.csv").read_bytes())
    (video,) = Custom().index(tmp_path).videos
    assert len(video.frames) == 40
