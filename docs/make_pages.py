"""Write the parts of the environments' pages that the code and the results know.

    python docs/make_pages.py            # after a change of an environment, or of its results
    python docs/make_pages.py --check    # exit with 1 if a page is out of date

A page holds `<!-- facts: ID ID -->` and `<!-- results: FILE: TEXT -->` (the rows of the first table
of docs/results/FILE that begin with TEXT), each up to `<!-- end -->`; what is between is replaced.
"""

from __future__ import annotations

import inspect
import itertools
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import tyro

import nondiff  # noqa: F401 - registers the environments
from nondiff.agents.capabilities import supported
from nondiff.black_box import capabilities, find_black_box
from nondiff.env_recipe import EnvRecipe
from nondiff.envs import needs_of

DOCS = Path(__file__).parent
BLOCK = re.compile(r"(<!-- (facts|results): (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Options:
    """Write the generated parts of the pages."""

    check: bool = False
    """Write nothing, and exit with 1 if a page is out of date."""


def facts(names: str) -> str:
    """A table of what Gymnasium and nondiff know of some environments."""
    ids = names.split()
    columns = [_facts(env_id) for env_id in ids]
    rows = [f"| | {' | '.join(f'`{env_id}`' for env_id in ids)} |", "|---" * (len(ids) + 1) + "|"]
    rows += [f"| {key} | {' | '.join(column[key] for column in columns)} |" for key in columns[0]]
    return "\n".join(rows) + "\n"


def _facts(env_id: str) -> dict[str, str]:
    spec = gymnasium.spec(env_id)
    with EnvRecipe(env_id).opened() as env:
        box = find_black_box(env)
        gradients = sorted(capabilities(box)) if box is not None else []
        modes = [mode for mode in env.metadata.get("render_modes", ()) if mode]
        return {
            "observation space": _space(env.observation_space),
            "action space": f"`{env.action_space}`",
            "arguments": _arguments(spec),
            "render modes": ", ".join(f"`{mode}`" for mode in modes) or "none",
            "gradients offered": ", ".join(f"`{name}`" for name in gradients) or "none",
            "strategies": ", ".join(f"`{name}`" for name in supported(env)),
            "needs": "; ".join(f"`{n.install}`" for n in needs_of(env_id)) or "nothing",
        }


def _space(space: gymnasium.Space) -> str:
    if isinstance(space, gymnasium.spaces.Dict):
        return "; ".join(f"`{name}`: {_space(part)}" for name, part in space.spaces.items())
    text = str(space)
    one_line = "\n" not in text and len(text) < 80  # else it lists the bounds of every entry
    return f"`{text}`" if one_line else f"`Box({space.shape}, {space.dtype})`"


def _arguments(spec: gymnasium.envs.registration.EnvSpec) -> str:
    module, _, name = str(spec.entry_point).partition(":")
    __import__(module)
    parameters = inspect.signature(getattr(sys.modules[module], name)).parameters.values()
    shown = [f"`{p.name}={spec.kwargs.get(p.name, p.default)!r}`" for p in parameters]
    return ", ".join(shown) or "none"


def results(place: str) -> str:
    """The rows of the first table of a file in docs/results that begin with some text."""
    name, _, text = place.partition(":")
    lines = (DOCS / "results" / name).read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    table = list(itertools.takewhile(lambda line: line.startswith("|"), lines[first:]))
    rows = [line for line in table[2:] if line.startswith(f"| {text.strip()}")]
    if not rows:
        raise SystemExit(f"docs/results/{name} has no row that begins with {text.strip()!r}")
    return "\n".join([*table[:2], *rows]) + "\n"


MAKERS: dict[str, Callable[[str], str]] = {"facts": facts, "results": results}


def made(text: str) -> str:
    """A page with its generated parts as they should be."""
    return BLOCK.sub(lambda found: found[1] + MAKERS[found[2]](found[3]) + found[4], text)


def main() -> None:
    """Write the pages, or check them."""
    options = tyro.cli(Options, description=__doc__)
    stale = []
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text()
        wanted = made(text)
        if wanted != text:
            stale.append(page.name)
            if not options.check:
                page.write_text(wanted)
    print(f"{'out of date' if options.check else 'written'}: {', '.join(stale) or 'none'}")
    sys.exit(1 if options.check and stale else 0)


if __name__ == "__main__":
    main()
