"""Finding pickles by what files hold, whatever they are called."""

import io
import pickletools
import zipfile
from pathlib import Path

_MAKES_OBJECTS = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"}


def is_pickle(data: bytes) -> bool:
    """Whether the bytes begin with a whole pickle that makes objects, or with any of protocol 2 or later."""
    try:
        names = {operation.name for operation, _, _ in pickletools.genops(io.BytesIO(data))}
    except (ValueError, IndexError):
        return False
    return "PROTO" in names or bool(names & _MAKES_OBJECTS)


def pickles_in(folder: Path) -> list[str]:
    """Paths of the files that are pickles, or archives that hold one."""
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        parts = [file.read_bytes()]
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                parts += [archive.read(name) for name in archive.namelist()]
        if any(map(is_pickle, parts)):
            found.append(file.relative_to(folder).as_posix())
    return found
