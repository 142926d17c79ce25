"""Lists of SHA-256 sums."""

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadwise.contract import LeadwiseError
from leadwise.datasets.releases import check_files, parse_sha256sums, path_problem, read_sha256sums, sha256_of

SUM = "0123456789abcdef" * 4
OTHER = "f" * 64

part = st.text("abcXYZ019._- é", min_size=1, max_size=12).filter(
    lambda text: text == text.strip() and text not in (".", "..")
)
paths = st.lists(part, min_size=1, max_size=4).map("/".join)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(
    sums=st.dictionaries(paths, digests, min_size=1, max_size=8),
    between=st.sampled_from([" ", "  ", " *"]),
    before=st.sampled_from(["", "./"]),
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
    upper=st.booleans(),
)
def test_what_was_listed_is_read(
    sums: dict[str, str], between: str, before: str, end: str, mark: str, upper: bool
) -> None:
    text = mark + "".join(
        f"{digest.upper() if upper else digest}{between}{before}{name}{end}" for name, digest in sums.items()
    )
    assert parse_sha256sums(text.encode(), "list") == sums


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda name: f"{SUM} {name}\n".encode())))
def test_any_bytes_are_a_list_of_safe_names_or_an_error_that_names_the_list(raw: bytes) -> None:
    names: Iterable[str] = ()
    said = "the list: "
    try:
        names = parse_sha256sums(raw, "the list")
    except LeadwiseError as error:
        said = str(error)
    assert said.startswith("the list: ") and len(said) < 400
    for name in names:
        assert path_problem(name) is None
        assert os.path.normpath(f"/tree/{name}") == f"/tree/{name}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{SUM} ../../etc/passwd", r"line 2: the path '\.\./\.\./etc/passwd' leaves the folder"),
        (f"{SUM} ~/x", "line 2: .* is absolute or begins with ~"),
        (f"{SUM} /etc/passwd", "line 2: the path '/etc/passwd' is absolute"),
        (f"{SUM} C:/x", "line 2: the path 'C:/x' holds a backslash or a colon"),
        (f"{SUM} records100\\x", "line 2: .* holds a backslash"),
        (f"{SUM} a//b", "line 2: .* has an empty part"),
        (f"{SUM} a/./b", "line 2: .* has an empty part or one that is a dot"),
        (f"{SUM} a\x00b", "line 2: .* holds a control character"),
        (f"{SUM} {'x' * 300}", "line 2: .* has 300 characters; allowed: 255"),
        (f"{SUM[:-1]} a.csv", "line 2: received .*; expected 64 hexadecimal digits, a space, a path"),
        ("<html>not found</html>", "line 2: received '<html>not found</html>'"),
        ("x" * 1_000_000, "line 2: received 'xxx"),
        (f"{OTHER} first", "line 2: a second, different sum of 'first'"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "SHA256SUMS.txt"
    file.write_bytes(f"{SUM} first\n{line}\n{SUM} last\n".encode())
    with pytest.raises(LeadwiseError, match=f"SHA256SUMS.txt: {message}") as caught:
        read_sha256sums(file)
    assert len(str(caught.value)) < 600


def test_a_file_that_is_no_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(LeadwiseError, match=r"absent\.txt: cannot be read: No such file"):
        read_sha256sums(tmp_path / "absent.txt")
    for content, message in ((b"\n\r\n", "lists no file"), (b"\n\xff\xfe", "line 2 is not UTF-8 text")):
        (tmp_path / "list").write_bytes(content)
        with pytest.raises(LeadwiseError, match=message):
            read_sha256sums(tmp_path / "list")


def test_reads_what_sha256sum_writes(tmp_path: Path) -> None:
    (tmp_path / "records100").mkdir()
    (tmp_path / "records100/1.dat").write_bytes(os.urandom(3_000_000))
    (tmp_path / "empty file").write_bytes(b"")
    command = ["sha256sum", "--binary", "./records100/1.dat", "empty file"]
    (tmp_path / "list").write_bytes(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout)
    sums = read_sha256sums(tmp_path / "list")
    assert sums == {name: sha256_of(tmp_path / name) for name in ("records100/1.dat", "empty file")}


def test_state_of_each_file(tmp_path: Path) -> None:
    content = {f"d/{number}": os.urandom(number) for number in range(600)}
    (tmp_path / "d").mkdir()
    for name, raw in content.items():
        (tmp_path / name).write_bytes(raw)
    (tmp_path / "d/7").write_bytes(b"another")
    (tmp_path / "d/8").unlink()
    (tmp_path / "d/9").unlink()
    (tmp_path / "d/9").mkdir()
    counted: list[int] = []
    sums = {name: hashlib.sha256(raw).hexdigest() for name, raw in content.items()}
    states = check_files(tmp_path, sums, progress=counted.append)
    assert list(states) == list(sums)
    assert {name: state for name, state in states.items() if state != "whole"} == {
        "d/7": "damaged",
        "d/8": "absent",
        "d/9": "absent",
    }
    assert sum(counted) == len(content)


@pytest.mark.real
def test_a_real_tree_matches_its_list(ptbxl_tree: Path) -> None:
    sums = read_sha256sums(ptbxl_tree / "SHA256SUMS.txt")
    assert {"ptbxl_database.csv", "scp_statements.csv", "LICENSE.txt"} < sums.keys()
    assert set(check_files(ptbxl_tree, sums).values()) == {"whole"}
