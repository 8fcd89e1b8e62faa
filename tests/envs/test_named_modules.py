"""A module that the user names is found in the working folder, and nothing else of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nondiff.errors import InvalidOptionError
from nondiff.gym.named_modules import folder_of, import_named


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    return tmp_path


def test_a_file_or_a_package_is_found_only_there(here: Path) -> None:
    (here / "lonely_module.py").write_text("VALUE = 3")
    (here / "lonely_package").mkdir()
    (here / "lonely_package" / "__init__.py").write_text("from lonely_package.part import VALUE")
    (here / "lonely_package" / "part.py").write_text("VALUE = 4")
    (here / "numpy.py").write_text("raise SystemExit")
    try:
        assert folder_of(["lonely_module", ""]) == folder_of(["lonely_package.part"]) == str(here)
        assert folder_of(["numpy", "nowhere"]) is None
        assert import_named("lonely_module", "it", str(here)).VALUE == 3
        assert import_named("lonely_package", "it", str(here)).VALUE == 4
        assert folder_of(["lonely_module"]) == str(here)  # also when it has been imported
    finally:
        for name in [name for name in sys.modules if name.startswith("lonely_")]:
            del sys.modules[name]


def test_no_other_module_of_the_folder_is_imported(here: Path) -> None:
    (here / "lonely_other.py").touch()
    (here / "lonely_first.py").write_text("import lonely_other")
    with pytest.raises(InvalidOptionError, match="No module named 'lonely_other'"):
        import_named("lonely_first", "it", str(here))
    assert "lonely_first" not in sys.modules
    with pytest.raises(InvalidOptionError, match="can't import 'lonely_other'"):
        import_named("lonely_other", "it")
