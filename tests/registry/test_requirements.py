from importlib.metadata import version
from pathlib import Path

import pytest

from leadwise.registry.package import SERVED_PACKAGES, PackagingError, served_requirements


def test_exact_pins_of_what_scoring_needs_as_installed_here() -> None:
    pins = served_requirements()
    assert pins == [f"{name}=={version(name)}" for name in SERVED_PACKAGES]
    assert not any("tensorflow" in pin or "keras" in pin for pin in pins)


def test_a_package_that_the_lock_does_not_pin_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lines = [f"{name}==1.0 \\\n    --hash=sha256:00" for name in SERVED_PACKAGES if name != "uvloop"]
    lock.write_text("\n".join([*lines, "uvloop==1.0 ; python_full_version < '3.8'"]), encoding="utf-8")
    with pytest.raises(PackagingError, match="no pin for uvloop"):
        served_requirements(lock)
