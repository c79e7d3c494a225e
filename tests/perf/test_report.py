"""The page says what was measured, what it means, and nothing about the machine's places."""

import json
from pathlib import Path

from perf.histogram import Histogram
from perf.pairs import Pair, Result
from perf.report import Report, number


def report(ours_per_s: float, void: list[str]) -> Report:
    """Three pairs of the first scenario against Kafka."""
    row = {"p50_us": 100.0, "p99_us": 150.0, "server_cpu_us_per_request": 10.0, "max_us": 900.0}
    rows = {
        "logserver": row | {"requests_per_s": ours_per_s},
        "kafka": {key: value * 10 for key, value in row.items()} | {"requests_per_s": 10.0},
    }
    histogram = Histogram()
    histogram.add(range(100_000, 200_000))
    out = Report(
        {"commit": "abc", "settings": {"kafka": {"durable": {"flush.ms": "1"}}}},
        "logserver",
        "kafka",
    )
    out.results["produce-1k"] = Result(
        "produce-1k", "one", [Pair(rows, void)] * 3, {("logserver", "latency"): histogram}
    )
    return out


def test_a_met_goal_a_met_floor_and_a_miss_are_told_apart() -> None:
    """Floor 4, goal 6 for the rate of 1 KB requests."""
    words = [dict(report(rate, []).verdicts())["produce-1k requests_per_s"]
             for rate in (61.0, 45.0, 39.0)]  # fmt: skip
    assert words == ["goal", "floor", "MISS"]


def test_the_page_has_the_ratio_its_range_and_the_number_of_pairs() -> None:
    """A ratio without its range proves nothing."""
    page = report(60.0, []).markdown()
    assert "**6.00x** (6.00 to 6.00, 3)" in page
    assert "| durable flush.ms | 1 |" in page


def test_a_scenario_without_a_valid_pair_is_called_unproven() -> None:
    """Its figures are shown, and said to prove nothing."""
    page = report(60.0, ["kafka: steal 9.0 %"]).markdown()
    assert "prove nothing:** produce-1k" in page


def test_results_are_written_with_every_run_and_percentile_logs(tmp_path: Path) -> None:
    """JSON, Markdown and one log per side and kind of latency."""
    page = report(60.0, []).write(tmp_path, "2026-01-02-abc-kafka")
    document = json.loads(page.with_suffix(".json").read_text())
    assert len(document["scenarios"]["produce-1k"]["pairs"]) == 3
    assert document["verdicts"]["produce-1k p99_us"] == "goal"
    log = tmp_path / "2026-01-02-abc-kafka" / "produce-1k-logserver-latency.hgrm"
    assert "TotalCount" in log.read_text()
    assert str(tmp_path) not in page.read_text()


def test_numbers_keep_three_digits() -> None:
    """Not 0.30000000000000004, not 69412.3912."""
    assert [number(value) for value in (0.1 + 0.2, 12.345, 69412.39)] == ["0.3", "12.3", "69,412"]
