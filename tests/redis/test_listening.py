"""Being woken by one of many queues."""

from heracles.model import SignalKind
from heracles.redis.listener import MOST_WATCHED
from tests.conformance.driver import Driver, is_woken
from tests.redis.conftest import MakePrivate
from tests.waiting import eventually


async def test_of_many_queues_some_share_a_connection(make_private: MakePrivate) -> None:
    private = make_private()
    transport = private.transport()
    names = [f"queue-{number}" for number in range(2 * MOST_WATCHED + 1)]
    listener = transport.listen(private.driver().session, names)
    await listener.wait(100)

    def blocked() -> bool:
        return private.server.info("clients")["blocked_clients"] == "3"

    await eventually(blocked, what="three connections wait")
    for name in (names[0], names[MOST_WATCHED], names[-1]):
        await Driver(transport, name).put()
        assert await is_woken(listener, SignalKind.WORK, name)
    await listener.close()
