"""`perf/run.sh`: measure ours alone, against Apache Kafka, or against another commit.

Exit code 0: every message was there and every floor was held (--quick does not judge). 1: a floor
was missed. 2: a message was lost, or something could not be set up.
"""

import argparse
import contextlib
import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from perf.batches import LoadError
from perf.catalogue import SCENARIOS
from perf.control import TOPIC, control
from perf.lifetime import Make, lifetime
from perf.machine import commit, file_system, header
from perf.pairs import Side, cannot_run, measure, run_scenario
from perf.report import Report
from perf.scenarios import QUICK, Bench, Plan, Scenario
from perf.servers import (
    DURABLE,
    RELAXED,
    STANDS_STILL,
    Kafka,
    Logserver,
    Server,
    SetupError,
    install_kafka,
    told,
)

REPOSITORY = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
OURS = "logserver"
LIFETIME = "lifetime"
HALF_RATE_ALONE = 5000.0
JVM_WARM_SCENARIOS = ("produce-1k", "produce-64k", "fetch-1m")


def arguments() -> argparse.Namespace:
    """The command line."""
    names = [one.name for one in SCENARIOS] + [LIFETIME]
    parser = argparse.ArgumentParser(prog="perf/run.sh", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="ours alone, a second each, under a minute in all")
    add("--against", metavar="kafka|COMMIT", help="interleaved pairs with Kafka or a commit")
    add("--scenario", action="append", choices=names, metavar="NAME",
        help="only this one (may be repeated): " + ", ".join(names))  # fmt: skip
    add("--pairs", type=int, default=5, help="valid pairs a scenario (default 5)")
    add("--seconds", type=float, help="measured seconds of a run (default 3)")
    add("--minutes", type=float, default=15, metavar="N",
        help="run void pairs again during the first N minutes (default 15)")  # fmt: skip
    add("--work-dir", type=Path, help="where data directories are made (default: a temporary one)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="our server's settings")
    add("--kafka-set", action="append", default=[], metavar="KEY=VALUE", help="Kafka's settings")
    add("--results", type=Path, default=RESULTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def pairs_of(items: list[str]) -> dict[str, str]:
    """key=value options."""
    return dict(item.split("=", 1) for item in items)


@contextlib.contextmanager
def work_tree(name: str, work: Path) -> Iterator[Path]:
    """A git work tree of another commit."""
    place = work / "checkout"
    git = ["git", "-C", str(REPOSITORY), "worktree"]
    done = subprocess.run(
        [*git, "add", "--detach", str(place), name], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SetupError(f"cannot check out {name}: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run([*git, "remove", "--force", str(place)], capture_output=True, check=False)


@contextlib.contextmanager
def makers(options: argparse.Namespace, work: Path) -> Iterator[dict[str, Make]]:
    """For each side a function that gives a server on a fresh directory."""
    counter = iter(range(10**6))
    settings = pairs_of(options.set)

    def ours(checkout: Path) -> Make:
        return lambda: Logserver(work / f"ours-{next(counter)}", checkout, settings)

    found = {OURS: ours(REPOSITORY)}
    if options.against == "kafka":
        libraries = install_kafka()
        extra = pairs_of(options.kafka_set)
        found["kafka"] = lambda: Kafka(work / f"kafka-{next(counter)}", libraries, extra)
        yield found
    elif options.against:
        with work_tree(options.against, work) as place:
            found[commit(options.against)] = ours(place)
            yield found
    else:
        yield found


@contextlib.contextmanager
def running(make: dict[str, Make]) -> Iterator[list[Side]]:
    """All sides started, and stopped at the end."""
    sides = []
    try:
        for name, maker in make.items():
            server = maker()
            if isinstance(server, Kafka):
                server.extra = STANDS_STILL | server.extra
            sides.append(Side(name, server))
            print(f"{name} ready after {server.start():.2f} s", file=sys.stderr, flush=True)
        yield sides
    finally:
        for side in sides:
            side.server.stop()
            shutil.rmtree(side.server.directory, ignore_errors=True)


def effective_settings(server: Server) -> dict[str, object]:
    """Broker settings, and those of a relaxed and a durable topic."""
    found: dict[str, object] = {"broker": server.settings()}
    for name, configs in (("relaxed", RELAXED), ("durable", DURABLE)):
        with control(server.address) as link:
            link.create_topic(f"perf-{name}", 1, configs)
            found[name] = told(link, TOPIC, f"perf-{name}")
            link.delete_topic(f"perf-{name}")
    return found


def warm_up(sides: list[Side], plan: Plan) -> None:
    """Let a JVM compile what will be measured."""
    print("warming up ...", file=sys.stderr, flush=True)
    for side in sides:
        others = [other for other in sides if other is not side]
        bench = Bench(side.server, plan._replace(seconds=4 if side.name == "kafka" else 0.5))
        for scenario in SCENARIOS:
            if scenario.name in JVM_WARM_SCENARIOS:
                measure(side, scenario, bench, others)


def half_of_maximum(sides: list[Side], report: Report, plan: Plan) -> float:
    """Half of what the peer does with 1 KB requests, from this run or a short one."""
    if len(sides) == 1 or sides[1].name != "kafka":
        return HALF_RATE_ALONE
    if "produce-1k" in report.results:
        series = report.results["produce-1k"].series(sides[1].name, "requests_per_s")
        return sorted(series)[len(series) // 2] / 2
    found = measure(sides[1], SCENARIOS[0], Bench(sides[1].server, plan), sides[:1])
    return found.figures["requests_per_s"] / 2


def run_all(options: argparse.Namespace, plan: Plan, work: Path, report: Report) -> None:
    """The scenarios in pairs, then each side's life."""
    wanted = [one for one in SCENARIOS if not options.scenario or one.name in options.scenario]
    pairs = 1 if options.quick else options.pairs
    with makers(options, work) as make:
        if wanted:
            with running(make) as sides:
                scenarios(wanted, sides, plan, pairs, report)
        if not options.scenario or LIFETIME in options.scenario:
            for name, maker in make.items():
                starts = 1 if name == "kafka" else plan.starts
                report.lifetimes[name] = lifetime(maker, plan._replace(starts=starts))


def scenarios(
    wanted: list[Scenario], sides: list[Side], plan: Plan, pairs: int, report: Report
) -> None:
    """Run the wanted scenarios and note versions and settings."""
    report.header["versions"] = {side.name: side.server.version() for side in sides}
    report.header["settings"] = {side.name: effective_settings(side.server) for side in sides}
    if pairs > 1:
        warm_up(sides, plan)
    half_rate = HALF_RATE_ALONE
    for scenario in wanted:
        reason = cannot_run(scenario, sides)
        if reason:
            print(f"left out: {reason}", file=sys.stderr, flush=True)
            continue
        if scenario.name == "end-to-end-half":
            half_rate = half_of_maximum(sides, report, plan)
            report.header["half_rate_per_s"] = round(half_rate)
        report.results[scenario.name] = run_scenario(scenario, sides, plan, pairs, half_rate)


def main() -> int:
    """Run, print the page, write the results."""
    options = arguments()
    plan = QUICK if options.quick else Plan()
    if options.seconds:
        plan = plan._replace(seconds=options.seconds)
    began = monotonic()
    plan = plan._replace(retry_until_s=began + options.minutes * 60)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and files go
    with tempfile.TemporaryDirectory(prefix="perf-", dir=options.work_dir) as place:
        if file_system(place).startswith("tmpfs"):
            print("the work directory lies on tmpfs: durable figures mean nothing there")
        theirs = None
        if options.against:
            theirs = "kafka" if options.against == "kafka" else commit(options.against)
        report = Report(header(place), OURS, theirs)
        report.log_gb = plan.log_gb
        try:
            run_all(options, plan, Path(place), report)
        except (LoadError, SetupError) as error:
            print(f"perf: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("perf: interrupted, servers stopped, nothing written", file=sys.stderr)
            return 130
    report.header["load_after"] = round(os.getloadavg()[0], 2)
    report.header["took_s"] = round(monotonic() - began)
    kind = "quick" if options.quick else theirs or "alone"
    date = dt.datetime.now(dt.UTC).date()
    page = report.write(options.results, f"{date}-{report.header['commit']}-{kind}")
    print(page.read_text())
    print(f"{page.name} took {report.header['took_s']} s", file=sys.stderr)
    missed = any(word == "MISS" for _, word in report.verdicts())
    return 1 if missed and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())
