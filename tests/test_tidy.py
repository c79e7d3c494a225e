"""The repository itself, under test: sizes, names, banned calls, a test file for every module.

A rule that nobody checks is a wish. Each rule here names what to do instead, because whoever trips
over it has no time to look for the reason.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 500
COLUMNS_MAX = 100
BLOB_BYTES_MAX = 1_000_000
PRODUCT = ("logserver/", "protocol/logwire/")


@cache
def files() -> tuple[str, ...]:
    """Every file that is committed or about to be, as paths from the root.

    Without git (an unpacked archive) everything is taken that no tool made.
    """
    if (ROOT / ".git").exists() and shutil.which("git"):
        words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listing = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        names = listing.stdout.split("\0")
    else:
        made = re.compile(r"(^|/)(\.(?!ci/)[^/]*|__pycache__|[^/]*\.egg-info|build|dist|libs)/")
        found = (str(path.relative_to(ROOT)) for path in ROOT.rglob("*"))
        names = [name for name in found if not made.search(name)]
    return tuple(sorted(name for name in names if name and (ROOT / name).is_file()))


def python_files(*roots: str) -> list[str]:
    """Python files below these folders, or all of them."""
    return [name for name in files() if name.endswith(".py") and name.startswith(roots or "")]


@cache
def tree(name: str) -> ast.Module:
    """The parsed source of one file."""
    return ast.parse((ROOT / name).read_text(), name)


def functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file, nested ones too."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions_stay_under_sixty_lines() -> None:
    """A function that does not fit on a screen is two functions."""
    long = [
        f"{name}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for name in python_files()
        for node in functions(name)
        if node.end_lineno is not None and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_modules_stay_under_five_hundred_lines() -> None:
    """A module that needs scrolling to be understood holds two ideas."""
    long = [
        f"{name} has {count} lines"
        for name in python_files()
        if (count := (ROOT / name).read_text().count("\n")) >= MODULE_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_lines_stay_within_a_hundred_columns() -> None:
    """Code, shell, build files and pages alike; a link or a table row may be longer."""
    long = [
        f"{name}:{number} has {len(line)} columns"
        for name in files()
        if name.endswith((".py", ".sh", ".toml", ".md")) or name in ("Makefile", "Dockerfile")
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        if len(line) > COLUMNS_MAX and "http" not in line and not line.lstrip().startswith("|")
    ]
    assert not long, "\n".join(long)


def test_every_module_opens_by_teaching() -> None:
    """The docstring says the rule of the file, before the first import."""
    bare = [name for name in python_files() if not ast.get_docstring(tree(name))]
    assert not bare, "no docstring: " + ", ".join(bare)


def test_no_module_is_empty() -> None:
    """A room is created by the change that fills it."""
    empty = [
        name
        for name in python_files(*PRODUCT)
        if not name.endswith("__init__.py") and len(tree(name).body) < 2
    ]
    assert not empty, ", ".join(empty)


def test_no_module_is_named_after_nothing() -> None:
    """A name says what is inside; `utils` says that nobody knew."""
    nothing = {"utils", "util", "common", "helpers", "base", "types", "core", "misc"}
    found = [name for name in python_files() if nothing & set(Path(name).with_suffix("").parts)]
    assert not found, ", ".join(found)


def expected_test_file(name: str) -> str | None:
    """Where the tests of a module live; None for those that need none of their own."""
    path = Path(name)
    if path.stem in ("__init__", "__main__"):
        return None
    if re.match(r"api_\d\d_", path.stem):
        return None  # a table in our notation: tests/logwire compares every API with an oracle
    rooms = path.parts[1:-1]  # logserver/storage/log.py, protocol/logwire/batch.py
    return str(Path("tests", *rooms, f"test_{path.stem}.py"))


def test_every_module_has_its_test_file() -> None:
    """`logserver/storage/log.py` is tested by `tests/storage/test_log.py`."""
    untested = [
        f"{name} wants {expected}"
        for name in python_files(*PRODUCT)
        if (expected := expected_test_file(name)) is not None and expected not in files()
    ]
    assert not untested, "\n".join(untested)


def test_test_names_are_sentences_with_a_line_of_explanation() -> None:
    """`test_a_torn_batch_is_cut` and one line that says more than the name."""
    mute = [
        f"{name}:{node.lineno} {node.name}"
        for name in python_files("tests/")
        if Path(name).name.startswith("test_")
        for node in functions(name)
        if node.name.startswith("test_")
        and (node.name.count("_") < 2 or not ast.get_docstring(node))
    ]
    assert not mute, "\n".join(mute)


class Ban(NamedTuple):
    """A call (dotted name, or `.method` on anything) banned below some folders."""

    call: str
    roots: tuple[str, ...]
    instead: str
    except_for: tuple[str, ...] = ()


SYNCHRONOUS = ("logserver/storage/", "logserver/broker/", "logserver/queue/", "protocol/logwire/")
FILES = ("logserver/storage/files.py", "logserver/storage/simulated_files.py")
BANS = (
    Ban("time.sleep", (*PRODUCT, "tests/"), "wait on a pipe, an event or a clock that jumps"),
    Ban(
        "asyncio.sleep",
        (*PRODUCT, "tests/"),
        "loop.call_later, or an event with a deadline",
        ("logserver/server/runner.py",),  # the drain polls, once in the life of a process
    ),
    Ban("time.time", SYNCHRONOUS, "take now_ms as an argument: the simulator owns the clock"),
    Ban("time.monotonic", SYNCHRONOUS, "take now_ms as an argument: the simulator owns the clock"),
    Ban(
        "datetime.datetime.now",
        SYNCHRONOUS,
        "take now_ms as an argument: the simulator owns the clock",
    ),
    Ban("random.random", SYNCHRONOUS, "take a random.Random as an argument"),
    Ban("random.randint", SYNCHRONOUS, "take a random.Random as an argument"),
    Ban("uuid.uuid4", SYNCHRONOUS, "take a random.Random as an argument"),
    Ban("os.urandom", SYNCHRONOUS, "take a random.Random as an argument"),
    Ban("open", SYNCHRONOUS, "storage.files, the one door to the file system", FILES),
    Ban("os.open", SYNCHRONOUS, "storage.files, the one door to the file system", FILES),
    Ban("os.fsync", PRODUCT, "File.datasync or Files.sync_directory", FILES),
    Ban("os.fdatasync", PRODUCT, "File.datasync: a failed sync fences the directory", FILES),
    Ban("os.rename", PRODUCT, "Files.rename, then Files.sync_directory", FILES),
    Ban(".madvise", PRODUCT, "storage.files: mmap.madvise holds the GIL", FILES),
    Ban("print", SYNCHRONOUS, "statistics or the journal; only the command line prints"),
    Ban("pickle.loads", PRODUCT, "a format drawn in a docstring: pickle runs what peers send"),
    Ban("eval", PRODUCT, "a parser"),
    Ban("socket.socket", SYNCHRONOUS, "server.connection, the one door to the network"),
)


def dotted(node: ast.expr) -> str:
    """`a.b.c` for a chain of names, `.c` for a method of something computed."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else f".{node.attr}"
    return ""


def parameters(name: str) -> set[str]:
    """Names of every function's parameters in a file: `random` may well be a random.Random."""
    return {word.arg for word in ast.walk(tree(name)) if isinstance(word, ast.arg)}


def breaks(node: ast.Call, ban: Ban) -> bool:
    """Whether a call is the banned one. `asyncio.sleep(0)` only gives way to others."""
    call = dotted(node.func)
    if call == "asyncio.sleep" and [ast.unparse(word) for word in node.args] == ["0"]:
        return False
    if ban.call.startswith("."):
        return f".{call}".endswith(ban.call)
    return call == ban.call


def test_banned_calls_have_a_better_replacement() -> None:
    """Each ban names what to call instead."""
    broken = [
        f"{name}:{node.lineno} {dotted(node.func)}: use {ban.instead}"
        for name in python_files()
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call)
        for ban in BANS
        if breaks(node, ban)
        and name.startswith(ban.roots)
        and name not in ban.except_for
        and ban.call.split(".")[0] not in parameters(name)
    ]
    assert not broken, "\n".join(broken)


def imported_roots(name: str) -> set[str]:
    """The top-level packages that a file imports, wherever the import stands."""
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_tests_use_fakes_and_real_things_never_mocks() -> None:
    """A mock agrees with whoever wrote it; a fake of ours has rules, the real thing has more."""
    mocking = [
        name
        for name in python_files("tests/")
        if "pytest_mock" in imported_roots(name)
        or re.search(r"^\s*(from|import) unittest", (ROOT / name).read_text(), re.MULTILINE)
    ]
    assert not mocking, ", ".join(mocking)


def runtime_dependencies() -> list[str]:
    """Import names of what `pip install logserver` brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [re.split(r"[<>=~!\[ ]", line)[0].replace("-", "_") for line in project["dependencies"]]


@pytest.mark.parametrize("package", runtime_dependencies())
def test_each_runtime_dependency_is_imported_in_one_module(package: str) -> None:
    """One module to change when it goes away; the command line may use its two everywhere."""
    users = [name for name in python_files(*PRODUCT) if package in imported_roots(name)]
    if package in ("click", "rich"):
        users = [name for name in users if not name.startswith("logserver/cli/")]
        assert not users, f"{package} outside the command line: {users}"
    else:
        assert len(users) == 1, f"{package} is imported by {users}"


def test_no_other_package_is_imported() -> None:
    """The product imports the standard library, its dependencies and itself.

    And, in one module that pytest itself loads, pytest.
    """
    allowed = {*sys.stdlib_module_names, *runtime_dependencies(), "logserver", "logwire"}
    foreign = {
        f"{name}: {package}"
        for name in python_files(*PRODUCT)
        for package in imported_roots(name) - allowed
        if (name, package) != ("logserver/testing/plugin.py", "pytest")
    }
    assert not foreign, "\n".join(sorted(foreign))


def test_no_file_is_a_blob() -> None:
    """Recordings and vectors are small; what is big is fetched or generated."""
    big = [
        f"{name}: {size} bytes"
        for name in files()
        if (size := (ROOT / name).stat().st_size) > BLOB_BYTES_MAX
    ]
    assert not big, "\n".join(big)


def test_nothing_names_a_machine_or_a_registry() -> None:
    """A clone must work for anybody: no home directories, no package mirrors."""
    pattern = re.compile(
        r"(?<![\w.])/(?:work|root|home|Users)/\w"
        r"|index-url|artifactory|nexus\.|pypi\.org|registry\.npmjs|repo1\.maven|trusted-host"
    )
    found = []
    for name in files():
        if name == "tests/test_tidy.py":
            continue
        text = (ROOT / name).read_bytes().decode(errors="replace")
        found += [f"{name}: {match.group()}" for match in pattern.finditer(text)]
    assert not found, "\n".join(found)
