"""Outputs that are whole or as they were before."""

from pathlib import Path

import pytest

from leadwise.atomic import folder_written_atomically, write_atomically


class Interrupted(Exception):
    pass


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file.json"
    write_atomically(file, "one")
    write_atomically(file, b"two")
    assert file.read_text() == "two"
    assert [path.name for path in file.parent.iterdir()] == ["file.json"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for content in ("one", "two"):
        with folder_written_atomically(folder) as target:
            (target / content).write_text(content)
            assert not (folder / content).exists()
    assert [path.name for path in folder.iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_stays_as_it_was_after_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with folder_written_atomically(folder) as target:
        (target / "old").touch()
    with pytest.raises(Interrupted), folder_written_atomically(folder) as target:
        (target / "new").touch()
        raise Interrupted
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
