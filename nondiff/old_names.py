"""Find public modules of 0.1.0 under their old names, with a deprecation warning."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "nondiff.envs.errors": "nondiff.errors",
    "nondiff.envs.black_box": "nondiff.black_box",
    "nondiff.envs.executable": "nondiff.black_box.executable",
    "nondiff.envs.process": "nondiff.processes.sandbox",
    "nondiff.envs.parallel": "nondiff.processes.vector_env",
    "nondiff.agents.network": "nondiff.agents.policies.network",
    "nondiff.agents.model": "nondiff.agents.policies.model",
    "nondiff.agents.refinement": "nondiff.agents.pathwise.refinement",
    "nondiff.agents.reinforcement.configs": "nondiff.agents.sb3.algorithms",
    "nondiff.agents.sb3.configs": "nondiff.agents.sb3.algorithms",
}
PARENTS = ("nondiff.agents.reinforcement",)  # packages whose every module has moved
# Public names of 0.1.0 that are called otherwise now, by the old module.
RENAMED = {"nondiff.envs.process": {"Pool": "ThreadPool", "check_apart": "check_distinct"}}


class _Moved(MetaPathFinder, Loader):
    """An importer of the old names, the last one that Python tries."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        known = name in MOVED or name in PARENTS
        return ModuleSpec(name, self, is_package=name in PARENTS) if known else None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ in PARENTS:
            return
        new = import_module(MOVED[module.__name__])
        warnings.warn(
            f"{module.__name__} is {new.__name__} now; what scripts need is imported from nondiff",
            DeprecationWarning,
            stacklevel=2,
        )
        public = {name: value for name, value in vars(new).items() if not name.startswith("__")}
        renamed = RENAMED.get(module.__name__, {})
        public |= {old: public[name] for old, name in renamed.items()}
        vars(module).update(public)
        vars(module)["__getattr__"] = partial(getattr, new)  # for names that it imports lazily


def find_moved_modules() -> None:
    """Install the importer of old names."""
    sys.meta_path.append(_Moved())
