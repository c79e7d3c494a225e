"""Build `.venv` with the project and everything its tests need. Needs nothing but Python.

    python tools/bootstrap.py

Run by the Makefile with the interpreter that the environment shall have. The virtual environment's
own pip may be older than dependency groups (PEP 735, pip 25.1), so the groups are read here.
`.venv/ready` is written last: a broken off installation is begun again.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def group(groups: dict[str, list[str | dict[str, str]]], name: str) -> list[str]:
    """The requirements of a dependency group, included groups first."""
    found: list[str] = []
    for entry in groups[name]:
        found += [entry] if isinstance(entry, str) else group(groups, entry["include-group"])
    return found


def main() -> None:
    """Create the environment if it is not there, then install into it."""
    if sys.version_info < (3, 11):  # noqa: UP036 - people run this by hand, with what they have
        sys.exit(f"Python >= 3.11 is needed, this is {sys.version.split()[0]}")
    home = ROOT / ".venv"
    python = home / "bin" / "python"
    if not python.exists():
        print(f"creating {home.name} with Python {sys.version.split()[0]}", flush=True)
        venv.create(home, with_pip=True)
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    print("installing logserver and its development tools", flush=True)
    subprocess.run([*pip, "--editable", str(ROOT), *group(groups, "dev")], check=True)
    (home / "ready").touch()


if __name__ == "__main__":
    main()
