"""The folder for what package registries bring: outside the repository, ignored by git.

`.cache/conformance` in the checkout, or where CONFORMANCE_CACHE points. Each suite installs into a
folder of its own there, once for each recipe: change the version in the recipe, and it is made
anew. Nothing of it is ever committed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def folder(name: str) -> Path:
    """The cache folder of one suite, made when it is missing."""
    place = Path(os.environ.get("CONFORMANCE_CACHE", ROOT / ".cache/conformance")) / name
    place.mkdir(parents=True, exist_ok=True)
    return place


def is_installed(name: str) -> bool:
    """Whether an installation of this name ended, whatever its recipe was."""
    return (folder(name) / ".recipe").exists()


def installed(name: str, recipe: str, install: Callable[[Path], None]) -> Path:
    """The folder in which `install(folder)` ended for exactly this recipe; else run it now.

    Safe among processes: the first installs, the others wait. A failed or interrupted installation
    leaves no stamp and is begun again from an empty folder.
    """
    place = folder(name)
    with (place.parent / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = place / ".recipe"
        if not stamp.exists() or stamp.read_text() != recipe:
            shutil.rmtree(place)
            place.mkdir()
            install(place)
            stamp.write_text(recipe)
    return place
