"""The parsers of what foreign runners print, held against what they printed once."""

from pathlib import Path

from tests.conformance import junit_xml
from tests.conformance.check_lines import run_program
from tests.conformance.kafka_java import suite as kafka_java
from tests.conformance.librdkafka import suite as librdkafka

FEED = """\
JUnit Jupiter > TopicCommandTest > testParse() :: STARTED
JUnit Jupiter > TopicCommandTest > testParse() :: SUCCESSFUL
JUnit Jupiter > DeleteTopicTest > testIt(ClusterInstance) > testIt [1] MetadataVersion=4 :: STARTED
JUnit Jupiter > DeleteTopicTest > testIt(ClusterInstance) > testIt [1] MetadataVersion=4 :: FAILED
\tjava.lang.AssertionError: nobody there
\t\tat java.base/java.lang.Thread.run(Thread.java:840)
JUnit Jupiter > DeleteTopicTest > testIt(ClusterInstance) > testIt [2] MetadataVersion=4 :: STARTED
JUnit Jupiter > DeleteTopicTest > testIt(ClusterInstance) > testIt [2] MetadataVersion=4 :: ABORTED
JUnit Jupiter > DeleteTopicTest > testEnds(ClusterInstance) > testEnds [1] x :: STARTED
"""

SUMMARY = """\
\x1b[31m[0002_unkpart /  1.2s] unexpected error: topic is there\x1b[0m
TEST 20261122081240 (bare, scenario default) SUMMARY
#==================================================================#
|\x1b[32m <MAIN>                                   |     PASSED |   0.200s \x1b[0m|
|\x1b[32m 0005_order                               |     PASSED |   0.081s \x1b[0m|
|\x1b[31m 0002_unkpart                             |     FAILED |   1.381s \x1b[0m| failed
|\x1b[33m 0033_regex_subscribe_local               |    SKIPPED |   0.000s \x1b[0m| local
#==================================================================#
"""

REPORT = """\
<testsuites><testsuite>
<testcase classname="test.integration.test_admin_integration" name="test_create" time="0.5"/>
<testcase classname="test.integration.test_admin_integration" name="test_acls" time="0.1">
<failure message="SecurityDisabled">trace</failure></testcase>
<testcase classname="test.integration.test_ssl_integration" name="test_tls" time="0">
<skipped message="external"/></testcase>
</testsuite></testsuites>
"""


def test_the_feed_of_junit_gives_ids_states_and_reasons() -> None:
    """A test that began and never ended has failed, whatever else happened."""
    said = {one.test: (one.status, one.message) for one in kafka_java.parse(FEED)}
    assert said == {
        "TopicCommandTest.testParse": ("passed", ""),
        "DeleteTopicTest.testIt[1]": ("failed", "java.lang.AssertionError: nobody there"),
        "DeleteTopicTest.testIt[2]": ("skipped", ""),
        "DeleteTopicTest.testEnds[1]": ("failed", "did not end"),
    }


def test_a_glob_becomes_a_pattern_of_method_names() -> None:
    """JUnit selects methods, not single invocations."""
    pattern = kafka_java.method_pattern("TopicCommandTest.testList*[2]")
    assert pattern == r"org\.apache\.kafka\.tools\.TopicCommandTest\#testList.*"


def test_every_class_is_run_or_has_a_reason() -> None:
    """And none is both."""
    names = set(kafka_java.classes())
    assert len(names) > 50
    assert all(name.endswith("Test") for name in names)


def test_the_summary_of_librdkafka_gives_names_and_states() -> None:
    """Colours, and the row of the runner itself, are left out."""
    said = [(one.test, one.status) for one in librdkafka.parse(SUMMARY)]
    assert said == [
        ("0005_order", "passed"),
        ("0002_unkpart", "failed"),
        ("0033_regex_subscribe_local", "skipped"),
    ]


def test_the_report_of_pytest_gives_ids_below_integration(tmp_path: Path) -> None:
    """The folder that all of them share says nothing."""
    path = tmp_path / "report.xml"
    path.write_text(REPORT)
    said = {one.test: one.status for one in junit_xml.read(path)}
    assert said == {
        "test_admin_integration.test_create": "passed",
        "test_admin_integration.test_acls": "failed",
        "test_ssl_integration.test_tls": "skipped",
    }


def test_a_program_that_breaks_off_has_failed(tmp_path: Path) -> None:
    """Its lines alone would look like success."""
    words = ["sh", "-c", "echo PASS read; exit 3"]
    said = [(one.test, one.status) for one in run_program("p", words, 10, tmp_path / "log")]
    assert said == [("p.read", "passed"), ("p.<run>", "failed")]


def test_a_program_that_hangs_has_failed(tmp_path: Path) -> None:
    """And it is gone afterwards."""
    words = ["sh", "-c", "echo PASS read; exec cat /dev/zero > /dev/null"]
    said = [(one.test, one.status) for one in run_program("p", words, 0.3, tmp_path / "log")]
    assert said == [("p.read", "passed"), ("p.<run>", "failed")]
