"""Files below a folder: nothing is followed, deep trees go, and locks are the holder's alone."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from canary import ATTACKS, make_home, unharmed

from nondiff.files.folders import new_folder, remove_made, remove_tree
from nondiff.files.locks import FolderLock
from nondiff.files.output import replacing, write_output
from nondiff.files.safe_path import SafePath
from nondiff.files.untrusted_json import MAX_DEPTH, MAX_DIGITS, parse_json

DEPTH = 3_000  # folders in each other: more than calls of a function


@pytest.fixture
def top(tmp_path: Path) -> SafePath:
    make_home(tmp_path / "home")
    (tmp_path / "top").mkdir()
    return SafePath(tmp_path / "top")


def test_a_deep_tree_is_removed_and_no_link_followed(top: SafePath) -> None:
    tree = new_folder(top, "tree-")
    place = os.open(tree.path, os.O_RDONLY)
    for number in range(DEPTH):
        os.symlink(top.root.parent / "home", f"link-{number}", dir_fd=place)
        os.mkdir("inner", 0o700, dir_fd=place)
        deeper = os.open("inner", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = deeper
    os.close(place)
    (tree.path / "closed").mkdir(0o000)
    with unharmed(top.root.parent / "home"):
        remove_tree(tree)
    assert top.names() == []


def test_only_named_files_are_removed(top: SafePath) -> None:
    folder = (top / "a").make_folder()
    for name in ("made", "mine"):
        (folder / name).write(b"x")
    assert not remove_made(folder, ["made"])
    assert folder.names() == ["mine"]
    assert remove_made(folder, ["mine"])
    assert top.names() == []


@pytest.mark.parametrize("attack", [name for name in ATTACKS if not ATTACKS[name].is_plain])
@pytest.mark.parametrize("inside", ["", "file", "folder/file"])
def test_every_operation_refuses_it(attack: str, inside: str, top: SafePath) -> None:
    home = top.root.parent / "home"
    ATTACKS[attack](top.path / "bad", home)
    path = top / "bad"
    for name in filter(None, inside.split("/")):
        path = path / name
    operations = [
        lambda: path.kind(),
        lambda: path.read(10),
        lambda: path.write(b"x"),
        lambda: path.append(b"x"),
        lambda: path.create(),
        lambda: path.make_folder(),
        lambda: path.remove_file(),
        lambda: path.names(),
        lambda: FolderLock(path).acquire(0),
        lambda: write_output(path.path, b"x") if not inside else path.read_end(1),
    ]
    with unharmed(home):
        for operation in operations:
            with pytest.raises(OSError, match=r"."):
                operation()


def test_another_name_of_a_file_keeps_its_content(top: SafePath) -> None:
    other = top.path / "other"
    for change in (SafePath.write, SafePath.append):
        other.write_bytes(b"before")
        os.link(other, top.path / "file")
        change(top / "file", b"after")
        assert other.read_bytes() == b"before"
        assert (top / "file").read(100).endswith(b"after")
        (top / "file").remove_file()


def test_an_output_that_fails_leaves_nothing(top: SafePath) -> None:
    target = top.path / "picture.png"
    target.write_bytes(b"before")
    with pytest.raises(IsADirectoryError), replacing(target) as new:
        new.parent.write_bytes(b"half")
    assert target.read_bytes() == b"before"
    assert top.names() == ["picture.png"]


def hold(path: Path, held: object, done: object) -> None:
    held.send(FolderLock(SafePath(path) / "lock").acquire(0))
    done.recv()


def test_a_lock_is_its_holders_alone(top: SafePath) -> None:
    lock, other = (FolderLock(top / "lock") for _ in range(2))
    assert lock.acquire(0)
    assert not other.acquire(0)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=hold, args=(top.root, there, there))
    child.start()  # which has the parent's open files, but not its locks
    assert here.recv() is False
    lock.release()
    assert other.acquire(0)
    other.release()
    here.send(None)
    child.join()


@pytest.mark.parametrize(
    "text",
    [
        *("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "[" * 100_000),
        *("9" * (MAX_DIGITS + 1), "-" + "9" * 5_000, "1e400", "-1e999", "\xff", ""),
    ],
)
def test_json_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text.encode("latin-1"))


def test_json_in_range_is_parsed() -> None:
    text = '{"a": [1, 2.5, null, true, "\\u20ac"], "b": ' + "[" * 50 + "]" * 50 + "}"
    assert parse_json(text.encode())["a"] == [1, 2.5, None, True, "€"]
    assert parse_json(b"9" * MAX_DIGITS) == int("9" * MAX_DIGITS)
