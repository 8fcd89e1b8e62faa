"""Import modules that the user names, including those of the working folder."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from nondiff.errors import InvalidOptionError


def import_named(module: str, what: str, folder: str | None = None) -> ModuleType:
    """Import a module that the user named.

    Args:
        module: its dotted name.
        what: the option that named it, for messages.
        folder: its folder, if it is not installed; see `folder_of`. Nothing else in that folder can
            be imported, except the submodules of a package.

    Raises:
        InvalidOptionError: the import failed, with whatever error.
    """
    try:
        if folder is not None:
            _import_from(Path(folder), _top(module))
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise InvalidOptionError(
            f"{what}: can't import {module!r} ({said}); install it, go to its folder, put its "
            "folder on PYTHONPATH, or fix it"
        ) from error


def folder_of(modules: Iterable[str]) -> str | None:
    """The working folder, if one of these modules is not installed and lies there."""
    here = Path.cwd()
    return str(here) if any(_is_only_in(here, _top(module)) for module in modules) else None


def _top(module: str) -> str:
    return module.partition(".")[0]


def _is_only_in(folder: Path, name: str) -> bool:
    """Whether a module is not installed and lies in a folder."""
    path = _file(folder, name) if name.isidentifier() else None
    if path is None:
        return False
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None) == str(path)
    try:
        return importlib.util.find_spec(name) is None
    except (ImportError, ValueError):
        return False


def _file(folder: Path, name: str) -> Path | None:
    """The file of a module or package in a folder; None: there is none."""
    for path in (folder / name / "__init__.py", folder / f"{name}.py"):
        if path.is_file():
            return path
    return None


def _import_from(folder: Path, name: str) -> None:
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return
    path = _file(folder, name)
    if path is None:
        return
    parts = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=parts)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
