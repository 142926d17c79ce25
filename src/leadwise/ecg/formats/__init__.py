"""Readers of ECG files, one module a format, through one function; see ``base`` for what a format is."""

from importlib import import_module
from pkgutil import iter_modules

from leadwise.ecg.formats.base import MissingField, Most, ReaderError, endings_read, formats_read
from leadwise.ecg.formats.normalisation import ReadECG
from leadwise.ecg.formats.read import Source, read_ecg

LARGEST_FILE = Most.BYTES

__all__ = [
    "LARGEST_FILE",
    "MissingField",
    "ReadECG",
    "ReaderError",
    "Source",
    "endings_read",
    "formats_read",
    "read_ecg",
]

# Every module that holds a format registers it.
for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
