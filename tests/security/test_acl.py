"""Users of a Redis: what the page grants is enough, and no more than needed; what is denied is told once."""

from collections.abc import AsyncIterator, Iterator

import pytest

from heracles import Redis, RedisTransport, TransportError
from heracles.errors import TransportUnavailableError
from tests.conformance.driver import Driver
from tests.security.guarded import PASSWORDS, PREFIX, Session, admit, denials, documented
from tests.servers import MissingServerError, Server, redis_6, redis_7


@pytest.fixture(params=["7", "6.2"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    try:
        made = Server(redis_7() if request.param == "7" else redis_6())
    except MissingServerError as missing:
        pytest.skip(str(missing))
    made.start()
    admit(made)
    yield made
    made.stop()


@pytest.fixture
async def session(server: Server) -> AsyncIterator[Session]:
    made = Session("guarded")
    yield made
    await made.close()


def used(server: Server) -> set[str]:
    """The commands that the server has been sent, scripts' included."""
    found = server.info("commandstats")
    return {name.removeprefix("cmdstat_").partition("|")[0] for name in found}


async def test_what_the_page_grants_is_enough_and_each_word_of_it_is_needed(server: Server, session: Session) -> None:
    await session.use_everything()
    assert denials(server) == []
    commands = used(server)
    for words in documented().values():
        for word in words:
            if word.startswith("+@") and word != "+@all":
                assert commands & categories(server, word[2:]), f"nothing of {word} is used"
            elif word.startswith("+"):
                assert word[1:].partition("|")[0] in commands | {"wait"}, f"{word} is not used"


def categories(server: Server, name: str) -> set[str]:
    return {command.decode() for command in server.command("ACL", "CAT", name)}


@pytest.mark.parametrize("user", ["producer", "worker"])
@pytest.mark.parametrize(
    "command",
    [
        ["KEYS", "*"],
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["ACL", "LIST"],
        ["SHUTDOWN"],
        ["MONITOR"],
        ["EVAL", "return 1", "0"],
        ["GET", "another:app"],
        ["PUBLISH", "another:channel", "x"],
    ],
    ids=lambda command: command[0],
)
async def test_what_the_page_does_not_grant_is_denied(server: Server, user: str, command: list[str]) -> None:
    with pytest.raises(TransportError, match="permission") as caught:
        await RedisTransport(connection=user, key_prefix=PREFIX)._store.command(f"{PREFIX}:x", *command)
    assert PASSWORDS[user] not in str(caught.value)


async def test_a_producer_takes_no_jobs(server: Server) -> None:
    driver = Driver(RedisTransport(connection="producer", key_prefix=PREFIX))
    await driver.put()
    with pytest.raises(TransportError, match="permission"):
        await driver.start()


async def test_a_wrong_password_is_one_error_that_shows_none(server: Server) -> None:
    Redis.register_connection("mistaken", url=f"redis://worker:not-{PASSWORDS['worker']}@127.0.0.1:{server.port}")
    with pytest.raises(TransportError, match="password") as caught:
        await Driver(RedisTransport(connection="mistaken", key_prefix=PREFIX)).put()
    assert not isinstance(caught.value, TransportUnavailableError)
    assert PASSWORDS["worker"] not in str(caught.value) + repr(caught.value.__cause__)
