"""tools/write_numbers: figures on pages come from results, never from a keyboard."""

import json
from pathlib import Path

import pytest

from tools.write_numbers import (
    BEGIN,
    END,
    NOTHING_YET,
    ROOT,
    between_markers,
    newest_result,
    stale_pages,
    written_pages,
)


def a_result(
    date: str, ours: float, *, void: tuple[str, ...] = (), theirs: float = 1000.0
) -> dict[str, object]:
    """A result as perf writes it, of one scenario with two pairs."""
    pair = {"logserver": {"requests_per_s": ours}, "kafka": {"requests_per_s": theirs}}
    return {
        "header": {
            "date": date, "commit": "abc123", "cpu": "a CPU", "cpu_count": 2, "memory_gb": 8.0,
            "kernel": "6.1", "file_system": "ext4 (rw)", "python": "3.11.7",
            "versions": {"logserver": "logserver 0.1.0", "kafka": "Apache Kafka 4.3.1"},
        },
        "scenarios": {
            "durable-8": {"title": "durable", "pairs": [{"void": list(void), **pair}] * 2},
        },
        "lifetime": {
            "logserver": {"anonymous_mb": 45.0, "growth_mb": 0.1, "ready_empty_s": 0.19,
                          "ready_clean_s": 0.3, "ready_killed_s": 0.6},
        },
        "verdicts": {},
    }  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A tree without git: two pages with markers, no result yet."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "perf/results").mkdir(parents=True)
    for name in ("README.md", "docs/performance.md"):
        (tmp_path / name).write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    return tmp_path


def put(place: Path, name: str, result: dict[str, object]) -> None:
    """Leave a result where perf leaves it."""
    (place / "perf/results" / name).write_text(json.dumps(result))


def test_the_pages_show_the_newest_result() -> None:
    """Run `python tools/write_numbers.py` after committing a result of perf/run.sh."""
    assert stale_pages(ROOT) == []


def test_without_a_result_the_pages_say_how_to_make_one(place: Path) -> None:
    """A page never shows a figure that nobody measured."""
    for text in written_pages(place).values():
        assert text == f"before\n\n{BEGIN}\n{NOTHING_YET}{END}\n\nafter\n"


def test_the_newest_date_wins_whatever_the_file_is_called(place: Path) -> None:
    """Names carry the day and the commit, and two runs of a day differ by commit only."""
    put(place, "2026-01-02-fff-kafka.json", a_result("2026-01-02T08:00:00", 3000))
    put(place, "2026-01-02-aaa-kafka.json", a_result("2026-01-02T09:00:00", 7000))
    put(place, "2026-01-09-aaa-alone.json", a_result("2026-01-09T09:00:00", 9000))
    newest = newest_result(place)
    assert newest is not None
    assert newest.name == "2026-01-02-aaa-kafka.json"
    assert stale_pages(place) == ["README.md", "docs/performance.md"]


def test_figures_ratio_and_report_are_told(place: Path) -> None:
    """Both sides' medians, the ratio, the absolute figures, and where the whole report is."""
    put(place, "2026-01-02-aaa-kafka.json", a_result("2026-01-02T09:00:00", 7000))
    pages = written_pages(place)
    readme = pages["README.md"]
    assert "| durable, 1 KB, 8 in flight | 1,000 req/s | 7,000 req/s | **7.00x** |" in readme
    assert "| anonymous memory after 10 GB in and out | - | 45 MB |  |" in readme
    assert "(perf/results/2026-01-02-aaa-kafka.md)" in readme
    assert "Apache Kafka 4.3.1" in readme
    performance = pages["docs/performance.md"]
    assert "**7.00x** (7.00 to 7.00, 2) | 5x | 7x | goal |" in performance
    assert "(../perf/results/2026-01-02-aaa-kafka.md)" in performance
    assert all(len(line) <= 100 for line in readme.splitlines() if not line.startswith("|"))
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")


def test_void_pairs_are_named_when_there_are_no_others(place: Path) -> None:
    """A figure that proves nothing says so beside itself."""
    disturbed = a_result("2026-01-02T09:00:00", 7000, void=("steal 9 %",))
    put(place, "2026-01-02-aaa-kafka.json", disturbed)
    assert "No undisturbed pair: durable-8." in written_pages(place)["README.md"]


def test_writing_twice_changes_nothing(place: Path) -> None:
    """What stands between the markers is replaced, not added to."""
    put(place, "2026-01-02-aaa-kafka.json", a_result("2026-01-02T09:00:00", 7000))
    for name, text in written_pages(place).items():
        (place / name).write_text(text)
    assert stale_pages(place) == []


@pytest.mark.parametrize("page", ["no markers", f"{END} {BEGIN}", f"only {BEGIN}"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    """Silence would leave old figures standing."""
    with pytest.raises(ValueError, match="numbers"):
        between_markers(page, "new\n")
