"""What other programs may leave in Redis, in streams and in hashes: it costs no worker and no other job anything."""

import random
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from heracles import HeraclesError, JobStatus, Queue
from heracles.redis.entries import envelope_of, fields_of, mapping
from heracles.redis.foreign import Meaning, read_entry
from heracles.redis.keys import NAME_PREFIX
from heracles.units import now_ms
from tests.input.conftest import QUEUE, Serving, the_next_job_runs
from tests.input.jobs import double
from tests.stores import SINGLE_REDIS, RedisStore, Store
from tests.waiting import eventually

pytestmark = pytest.mark.stores(*SINGLE_REDIS)

JUNK: list[bytes] = [
    b"", b"\xff\xfe", b"\0", b"null", b"true", b"0", b"-1", b"1.5", b"1e999", b"nan", b"9" * 5000, b"a b", b"*", b"{x}",
    b"x" * 300, b"a\xe2\x80\x8bb", b"\x1b[31m\r\n", b"[]", b"{}", b'"x"', b"[1,2", b"[null]", b'{"a":1}', b"[" * 20_000,
    b'{"a":' * 20_000, b"[" + b"9" * 5000 + b"]", b"[NaN]", b'["\\ud800"]', b'["\xff"]', b"running", b"completed",
    b"SCHEDULED_FOR_RETRY", b"2026-01-01T00:00:00.000Z", b"10000-01-01T00:00:00Z", b"0-0", b"5-5", b"no_overlap",
    b'{"priority":1e5}', b'{"maxRetries":"x"}', b'{"scheduledFor":"9999-12-31T23:59:59.999Z"}', b'{"priority":true}',
    b'{"scheduledFor":253402300799999}', b'{"overlapBehavior":"no_overlap","overlapDelay":1.5}', b"job:cancel",
]  # fmt: skip
ENTRY_FIELDS = [b"type", b"timestamp", b"queue", b"job", b"args", b"jobId", b"dispatchId", b"options", b"kwargs"]
HASH_FIELDS = [
    "status", "retries", "createdAt", "updatedAt", "startedAt", "completedAt", "messageId", "error", "worker",
    "scheduledFor", "token", "deliveries", "result", "traceback", "jobId", "dispatchId", "queue", "name", "priority",
    "adopted", "unheard-of",
]  # fmt: skip


class Stranger:
    """Writes into the test's part of Redis what it likes."""

    def __init__(self, client: "redis.Redis", prefix: str) -> None:
        self.client = client
        self._prefix = prefix

    def key(self, rest: str) -> str:
        return f"{self._prefix}:{rest}"

    def entry(self, number: int, **changes: bytes | None) -> dict[bytes, bytes]:
        """A good one, but for the changes; None leaves a field out."""
        fields: dict[str, bytes | None] = {
            "type": b"job:process",
            "timestamp": str(now_ms()).encode(),
            "queue": QUEUE.encode(),
            "job": f"{NAME_PREFIX}double".encode(),
            "args": b"[1]",
            "jobId": f"j{number}".encode(),
            "dispatchId": f"d{number}".encode(),
            "options": b'{"priority":0}',
            **changes,
        }
        return {name.encode(): value for name, value in fields.items() if value is not None}

    def add(self, fields: Mapping[bytes, bytes], priority: str = "") -> None:
        entry: dict[Any, Any] = dict(fields)
        self.client.xadd(self.key(f"stream:{QUEUE}{priority}"), entry)

    def set_status(self, job_id: str, dispatch_id: str, fields: Mapping[str, bytes]) -> None:
        record: dict[Any, Any] = dict(fields)
        self.client.hset(self.key(f"status:{QUEUE}:{job_id}:{dispatch_id}"), mapping=record)


@pytest.fixture
def stranger(store: Store) -> Iterator[Stranger]:
    assert isinstance(store, RedisStore)
    with store.servers[0].client() as client:
        yield Stranger(client, store.prefix)
    # What a stranger has left is nobody's to clear up.
    store.empty()


# ------------------------------------------------------------------------------------------------------ the decoder


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    fields=st.dictionaries(
        st.sampled_from(ENTRY_FIELDS) | st.binary(max_size=4), st.sampled_from(JUNK) | st.binary(max_size=12)
    ),
    good=st.sets(st.sampled_from(ENTRY_FIELDS[:8])),
    priority=st.integers(0, 100),
)
def test_any_entry_is_read_without_an_error(fields: dict[bytes, bytes], good: set[bytes], priority: int) -> None:
    whole = Stranger(None, "").entry(1)  # type: ignore[arg-type]  # nothing is written
    found = read_entry({**fields, **{name: value for name, value in whole.items() if name in good}}, priority)
    assert found.error is None or len(found.error) <= 1100
    if found.meaning is Meaning.JOB:
        assert found.job_id
        assert found.dispatch_id
        assert (found.envelope is None) == (found.error is not None)
    if found.envelope is not None:
        # Written anew by us, it says the same.
        again = mapping([word if isinstance(word, bytes) else str(word).encode() for word in fields_of(found.envelope)])
        assert envelope_of(again, found.envelope.priority) == found.envelope


# ------------------------------------------------------------------------------------------- workers that meet them


async def test_arguments_that_do_not_fit_fail_their_job_alone(
    queue: Queue, serving: Serving, stranger: Stranger
) -> None:
    """As after a constructor has changed, or from a program that knows another one."""
    cases = [
        (b'["one"]', "argument 'number' does not fit int"),
        (b"[]", "missing a required argument: 'number'"),
        (b"[1, 2]", "too many positional arguments"),
        (b"[null]", "argument 'number'"),
        (b"[1.5]", "argument 'number'"),
        (b"[" + b"9" * 1_000_000 + b"]", "out of range"),
        (b"[NaN]", "args is no JSON array"),
        (b"[" * 100_000, "args is no JSON array"),
        (b"[" * 100_000 + b"]" * 100_000, "args is no JSON array"),
        (b'["\\ud800"]', ""),
        (b'["\xff"]', "args is no JSON array"),
        (b"{}", "args is no JSON array"),
    ]
    for number, (args, _) in enumerate(cases):
        stranger.add(stranger.entry(number, args=args))
    async with serving():
        await the_next_job_runs(queue)
        for number, (_, word) in enumerate(cases):
            info = await _ended(queue, f"d{number}")
            assert info.status is JobStatus.FAILED
            assert info.error is not None
            assert word in info.error
            assert len(info.error) <= 1100
        await the_next_job_runs(queue)


async def _ended(queue: Queue, id: str) -> Any:
    async def look() -> Any:
        info = await queue.get_job(id)
        return info if info is not None and info.status.is_final else None

    return await eventually(look, what=f"{id} to end", deadline_s=30)


async def test_a_class_that_nobody_knows_holds_up_nobody(queue: Queue, serving: Serving, stranger: Stranger) -> None:
    for number, name in enumerate([b"Nobody", b"\xc3\xa9", b"x" * 10_000, b"../../etc", b"a\nb"]):
        stranger.add(stranger.entry(number, job=NAME_PREFIX.encode() + name))
    async with serving():
        await the_next_job_runs(queue)
        info = await queue.get_job("d0")
        assert info is None or info.status in (JobStatus.PENDING, JobStatus.RUNNING)


@pytest.mark.parametrize("field", HASH_FIELDS)
async def test_junk_in_a_hash_of_ours(field: str, queue: Queue, serving: Serving, stranger: Stranger) -> None:
    handles = [await queue.dispatch(double, [1]) for _ in JUNK]
    for handle, junk in zip(handles, JUNK, strict=True):
        stranger.set_status(handle.job_id, handle.dispatch_id, {field: junk})
    async with serving():
        # Another stream, in case the one before it is held up: first by priority.
        await the_next_job_runs(queue)
        await the_next_job_runs(queue, priority=0)
    listed = await queue.jobs(limit=1000)
    assert sum(info.status is JobStatus.COMPLETED for info in listed) >= 2
    for handle in handles:
        await queue.get_job(handle)
    await queue.counts()


async def test_a_result_that_is_no_json(queue: Queue, serving: Serving, stranger: Stranger) -> None:
    async with serving():
        handle = await queue.dispatch(double, [1])
        await handle.result(timeout=30)
        stranger.set_status(handle.job_id, handle.dispatch_id, {"result": b"\xff{"})
        with pytest.raises(HeraclesError, match="no JSON"):
            await handle.result(timeout=30)
        info = await handle.info()
        assert (info.status, info.result, info.name) == (JobStatus.COMPLETED, None, "double")
        assert len(await queue.jobs()) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_heaps_of_junk(seed: int, queue: Queue, serving: Serving, stranger: Stranger) -> None:
    chance = random.Random(seed)
    async with serving():
        for round_ in range(5):
            for number in range(20):
                _leave_something(chance, stranger, 100 * round_ + number)
            await the_next_job_runs(queue)
        listed = await queue.jobs(limit=1000)
        for info in chance.sample(listed, min(20, len(listed))):
            assert await queue.get_job(info.dispatch_id) is not None
        await eventually(partial(_nothing_runs, queue), what="all that was started to end", deadline_s=30)
        await the_next_job_runs(queue)


def _leave_something(chance: random.Random, stranger: Stranger, number: int) -> None:
    entry = stranger.entry(number)
    for field in chance.sample(ENTRY_FIELDS, chance.choice([1, 1, 1, 2, 3])):
        if chance.random() < 0.3:
            entry.pop(field, None)
        else:
            entry[field] = chance.choice(JUNK)
    if chance.random() < 0.5:
        stranger.set_status(
            f"j{number}", f"d{number}", {field: chance.choice(JUNK) for field in chance.sample(HASH_FIELDS, 4)}
        )
    stranger.add(entry, chance.choice(["", "", ":p5", ":p100"]))


async def _nothing_runs(queue: Queue) -> bool:
    return not any(info.status is JobStatus.RUNNING for info in await queue.jobs(limit=1000))
