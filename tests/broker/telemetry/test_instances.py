"""Client instances: when they may ask and push."""

import pytest

from logserver.broker.image import CLIENT_METRICS_RESOURCE, Image
from logserver.broker.telemetry.instances import INSTANCES_COUNT_MAX, Instance, Instances
from logserver.broker.telemetry.subscriptions import Wanted
from logwire import errors
from logwire.errors import Refusal

ID = b"0123456789abcdef"
WANTED = Wanted(("a",), 1000)


@pytest.fixture
def instance() -> Instance:
    """An instance that pushes every second, seen at 0."""
    return Instance(ID, WANTED, 1, 0)


def refused(call: object, *arguments: object, **named: object) -> int:
    """The code that the call is refused with; 0 when it is not."""
    try:
        call(*arguments, **named)  # type: ignore[operator]
    except Refusal as refusal:
        return refusal.code
    return errors.NONE


def push(instance: Instance, uptime_ms: int, *, terminating: bool = False, wrong: int = 0) -> int:
    """The code of a push, and the instance remembers it as the broker has it."""
    subscription = instance.subscription_id + wrong
    code = refused(instance.push, subscription, uptime_ms, terminating=terminating)
    instance.last_code = code
    instance.terminating = terminating
    return code


def test_a_question_within_an_interval_of_the_last_request_is_throttled(instance: Instance) -> None:
    """Of a question or of a push."""
    assert refused(instance.ask, 0) == errors.NONE
    assert refused(instance.ask, 999) == errors.THROTTLING_QUOTA_EXCEEDED
    assert refused(instance.ask, 1000) == errors.NONE
    assert push(instance, 1500) == errors.NONE
    assert refused(instance.ask, 2400) == errors.THROTTLING_QUOTA_EXCEEDED
    assert refused(instance.ask, 2500) == errors.NONE


def test_a_push_answers_a_question_and_then_comes_once_an_interval(instance: Instance) -> None:
    """The first push may come right behind the question."""
    instance.ask(0)
    assert push(instance, 1) == errors.NONE
    assert push(instance, 1000) == errors.THROTTLING_QUOTA_EXCEEDED
    assert push(instance, 1001) == errors.NONE


def test_the_last_push_may_come_any_time_and_is_the_last(instance: Instance) -> None:
    """A client that ends does not wait for its interval."""
    instance.ask(0)
    push(instance, 1)
    assert push(instance, 2, terminating=True) == errors.NONE
    assert push(instance, 5000) == errors.INVALID_REQUEST


def test_a_client_that_has_not_heard_of_a_change_asks_again_at_once(instance: Instance) -> None:
    """UNKNOWN_SUBSCRIPTION_ID, and the question behind it is not throttled."""
    instance.ask(0)
    assert push(instance, 1, wrong=1) == errors.UNKNOWN_SUBSCRIPTION_ID
    assert refused(instance.ask, 2) == errors.NONE
    assert push(instance, 3) == errors.NONE


def image(**metrics: str) -> Image:
    """An image with subscriptions: name -> metrics."""
    image = Image()
    for name, value in metrics.items():
        record = {"resource_type": CLIENT_METRICS_RESOURCE, "resource_name": name}
        image.apply("ConfigRecord", {**record, "name": "metrics", "value": value})
    return image


def test_an_instance_follows_a_change_with_its_next_request() -> None:
    """It gets another subscription id, and may ask at once."""
    instances = Instances(image())
    before = instances.seen(ID, {}, 0)
    assert before.wanted.metrics == ()
    before.ask(0)
    instances.subscribe(image(m="a"))
    after = instances.seen(ID, {}, 1)
    assert after.wanted.metrics == ("a",)
    assert after.subscription_id != before.subscription_id
    assert refused(after.ask, 1) == errors.NONE
    assert instances.seen(ID, {}, 2) is after


def test_instances_are_forgotten_in_time_and_beyond_a_number() -> None:
    """The oldest first; one that asks again is new."""
    instances = Instances(image())
    kept_ms = instances.seen(ID, {}, 0).expires_ms()
    assert instances.seen(b"b" * 16, {}, kept_ms - 1).seen_ms == kept_ms - 1
    assert ID in instances
    instances.seen(b"b" * 16, {}, kept_ms)
    assert ID not in instances
    for number in range(INSTANCES_COUNT_MAX + 5):
        instances.seen(number.to_bytes(16, "big"), {}, kept_ms)
    assert len(instances) == INSTANCES_COUNT_MAX


def test_the_subscription_id_is_a_signed_number_of_32_bits() -> None:
    """Equal for equal wishes of one instance, different otherwise."""
    numbers = {Instance(bytes([n]) * 16, WANTED, 1, 0).subscription_id for n in range(64)}
    assert len(numbers) == 64
    assert all(-(2**31) <= number < 2**31 for number in numbers)
    assert Instance(ID, WANTED, 2, 5).subscription_id == Instance(ID, WANTED, 1, 0).subscription_id
    other = Instance(ID, Wanted(("a",), 1001), 1, 0)
    assert other.subscription_id != Instance(ID, WANTED, 1, 0).subscription_id
