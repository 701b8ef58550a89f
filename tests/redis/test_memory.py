"""What a queued job costs, and what many of them do not slow down."""

from collections import defaultdict

from heracles.model import ReportKind
from tests.conformance.driver import LATER_MS, Driver, envelope, report_on
from tests.redis.conftest import Behind, MakeDriver

ARGUMENT = b'["' + b"a" * 96 + b'"]'
#: Bytes of a queued job with an argument of 100 bytes: its stream entry and its record.
MOST_BYTES = 450


async def test_a_queued_job_is_small(driver: Driver, behind: Behind) -> None:
    # As long as the default prefix.
    count = 2000
    made = [envelope(args=ARGUMENT) for _ in range(count)]
    await driver.put_all(made)
    stream = behind.command("MEMORY", "USAGE", behind.key("stream:emails"), "SAMPLES", 0)
    name = f"status:emails:{made[0].job_id}:{made[0].dispatch_id}"
    assert stream / count + behind.command("MEMORY", "USAGE", behind.key(name)) < MOST_BYTES


async def test_a_finished_job_stays_a_compact_hash(driver: Driver, behind: Behind) -> None:
    made = envelope(args=ARGUMENT)
    await driver.put_all([made])
    await driver.finish(await driver.start_one(), result=b"1" * 64)
    name = behind.key(f"status:emails:{made.job_id}:{made.dispatch_id}")
    assert behind.command("OBJECT", "ENCODING", name) in {b"ziplist", b"listpack"}


async def test_a_plain_dispatch_takes_two_commands_beside_those_of_its_call(driver: Driver, behind: Behind) -> None:
    async def commands(count: int) -> int:
        behind.command("CONFIG", "RESETSTAT")
        await driver.transport.enqueue(driver.queue, [envelope() for _ in range(count)])
        stats = behind.client.info("commandstats")
        return sum(of["calls"] for name, of in stats.items() if not name.startswith("cmdstat_config"))

    await commands(1)
    assert await commands(200) - await commands(100) == 200


async def test_a_plain_report_takes_a_hundred_bytes(driver: Driver, behind: Behind) -> None:
    """And what it says by saying nothing holds: the time to live of its record."""

    async def bytes_of(count: int) -> int:
        before = behind.client.info("stats")["total_net_input_bytes"]
        await driver.exchange([report_on(started.pop(), ReportKind.COMPLETED) for _ in range(count)])
        return int(behind.client.info("stats")["total_net_input_bytes"] - before)

    made = envelope(name="a")
    await driver.put_all([made, *[envelope(name="a") for _ in range(300)]])
    started = await driver.start(301)
    few, many = await bytes_of(50), await bytes_of(250)
    assert (many - few) / 200 < 100
    await driver.finish(started.pop())
    ttl = behind.ttl(f"status:emails:{made.job_id}:{made.dispatch_id}")
    assert 0 <= driver.transport.settings.status_ttl_s - ttl < 100


async def test_of_the_changes_no_more_are_kept_than_can_be_read(driver: Driver, behind: Behind) -> None:
    await driver.put_all([envelope() for _ in range(13_000)])
    for _ in range(5):
        await driver.put()
    # In front of an entry's changes stands their time.
    kept = sum(len(fields) - 1 for fields in behind.entries("events:emails"))
    assert 10_000 <= kept < 11_500


async def test_no_script_holds_up_others_for_long(make_driver: MakeDriver, behind: Behind) -> None:
    driver = make_driver()
    behind.command("CONFIG", "SET", "slowlog-log-slower-than", 100)
    await driver.put_all([envelope(args=ARGUMENT, delay_ms=LATER_MS) for _ in range(2000)])
    await driver.put_all([envelope(args=ARGUMENT, priority=number % 3) for number in range(2000)])
    behind.command("SLOWLOG", "RESET")
    started = await driver.start(1000)
    await driver.exchange([report_on(delivery, ReportKind.COMPLETED) for delivery in started], 1000)
    await driver.put_all([envelope(args=ARGUMENT) for _ in range(1000)])
    await driver.transport.page("emails", None, 1000)
    await driver.transport.maintain("emails")
    await driver.transport.clear("emails")
    durations: dict[tuple[bytes, ...], list[int]] = defaultdict(list)
    for _, _, duration, words, *_ in behind.command("SLOWLOG", "GET", 200):
        # The last word tells how many more there are.
        durations[(*words[:2], words[-1])].append(duration)
    behind.command("CONFIG", "SET", "slowlog-log-slower-than", 10_000)
    # Of equal calls the fastest: on a busy machine the others say more of the machine.
    fastest = {call: min(took) for call, took in durations.items() if len(took) > 2}
    assert fastest, "something took over 0.1 ms"
    assert all(took < 10_000 for took in fastest.values()), fastest


async def test_a_backlog_slows_nothing_down(driver: Driver, behind: Behind) -> None:
    async def calls() -> dict[str, int]:
        """Of each Redis command, scripts' included, for a dispatch, a start and a report."""
        behind.command("CONFIG", "RESETSTAT")
        for _ in range(20):
            await driver.put()
            await driver.finish(await driver.start_one())
        stats = behind.client.info("commandstats")
        # Lists of finished jobs have their time to live renewed when a second has passed.
        return {name: of["calls"] for name, of in stats.items() if name != "cmdstat_expire"}

    # One that waits makes it look when that is due; more make no difference.
    await driver.put(delay_ms=LATER_MS)
    await driver.put()
    await calls()
    before = await calls()
    await driver.put_all([envelope() for _ in range(20_000)])
    await driver.put_all([envelope(delay_ms=LATER_MS) for _ in range(5000)])
    assert await calls() == before
