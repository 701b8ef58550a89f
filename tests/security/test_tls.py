"""TLS: who the server is, and who the client is, with an authority of one's own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from heracles import Redis, RedisTransport, TransportError
from heracles.errors import TransportUnavailableError
from tests.conformance.driver import Driver
from tests.security.authority import Authority
from tests.servers import Certificates, Cluster, MissingServerError, Server, free_port, redis_7

NAME = "secured"


class Site:
    """An authority, and servers with a certificate of it."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.directory = directory
        self._servers: list[Server] = []

    def serve(self, subject: str, *, asks_for_certificates: bool = False) -> str:
        """Start a server that is called so; the URL of its TLS port."""
        port, arguments = self.listening(subject, asks_for_certificates=asks_for_certificates)
        self.start(Server(redis_7(), arguments=arguments))
        return f"rediss://127.0.0.1:{port}"

    def listening(self, subject: str, *, asks_for_certificates: bool = False) -> tuple[int, list[str]]:
        """A port for TLS, and what makes a server called so listen there beside its own."""
        certificate, key = self.authority.sign("server", subject)
        port = free_port(with_bus=True)
        return port, [
            "--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
            "--tls-ca-cert-file", str(self.authority.certificate),
            "--tls-auth-clients", "yes" if asks_for_certificates else "no",
        ]  # fmt: skip

    def start(self, server: Server) -> None:
        self._servers.append(server.start())

    def stop(self) -> None:
        for server in self._servers:
            server.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    try:
        made = Site(tmp_path)
    except MissingServerError as missing:
        pytest.skip(str(missing))
    yield made
    made.stop()


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[Driver]:
    Redis.register_connection(NAME, **options)
    transport = RedisTransport(connection=NAME)
    try:
        yield Driver(transport)
    finally:
        await transport.close()


async def serves(**options: Any) -> None:
    async with connected(**options) as driver:
        await driver.finish(await driver.put_running())


async def is_refused(match: str, **options: Any) -> None:
    async with connected(**options) as driver:
        with pytest.raises(TransportError, match=match) as caught:
            await driver.put("d-1")
        assert not isinstance(caught.value, TransportUnavailableError), "it would be tried again and again"


async def test_a_server_is_known_by_its_authority_and_its_name(site: Site) -> None:
    url = site.serve("IP:127.0.0.1")
    authority = str(site.authority.certificate)
    await serves(url=url, ssl_ca_certs=authority)
    await serves(url=f"{url}?ssl_ca_certs={authority}")
    await serves(url=url, ssl_ca_certs=authority, ssl_check_hostname=True)


async def test_a_server_of_an_unknown_authority_is_refused_at_once(site: Site) -> None:
    url = site.serve("IP:127.0.0.1")
    await is_refused("certificate is refused.*ssl_ca_certs", url=url)
    other = Authority(site.directory, "other")
    await is_refused("certificate is refused", url=url, ssl_ca_certs=str(other.certificate))


async def test_a_server_of_another_name_is_refused_unless_names_are_not_checked(site: Site) -> None:
    url = site.serve("DNS:redis.example.com")
    authority = str(site.authority.certificate)
    await is_refused("certificate is refused.*127.0.0.1", url=url, ssl_ca_certs=authority)
    await serves(url=url, ssl_ca_certs=authority, ssl_check_hostname=False)
    # Without any check whoever answers is believed.
    await serves(url=url, ssl_cert_reqs="none", ssl_check_hostname=False)


async def test_a_client_shows_its_certificate(site: Site) -> None:
    url = site.serve("IP:127.0.0.1", asks_for_certificates=True)
    certificate, key = site.authority.sign("client", "DNS:producer")
    authority = str(site.authority.certificate)
    await serves(url=url, ssl_ca_certs=authority, ssl_certfile=str(certificate), ssl_keyfile=str(key))
    async with connected(url=url, ssl_ca_certs=authority) as driver:
        with pytest.raises(TransportError):
            await driver.put("d-1")


async def test_plain_talk_to_a_tls_port_ends_in_an_error(site: Site) -> None:
    url = site.serve("IP:127.0.0.1")
    async with connected(url=url.replace("rediss", "redis")) as driver:
        with pytest.raises(TransportUnavailableError):
            await driver.put("d-1")


async def test_certificates_that_cannot_be_read_are_told_at_once(site: Site) -> None:
    url = site.serve("IP:127.0.0.1")
    await is_refused("certificates cannot be read.*ssl_", url=url, ssl_ca_certs="/nowhere/authority.pem")
    broken = site.directory / "broken.pem"
    broken.write_text("no certificate")
    await is_refused("certificates cannot be read", url=url, ssl_ca_certs=str(broken))


async def test_sentinels_and_the_master_that_they_name_are_reached_by_tls(site: Site) -> None:
    url = site.serve("IP:127.0.0.1")
    port, listening = site.listening("IP:127.0.0.1")
    sentinel = Server(redis_7(), arguments=["--sentinel", *listening, "--tls-replication", "yes"])
    sentinel.options = {f"sentinel monitor mymaster 127.0.0.1 {url.rpartition(':')[2]}": 1}
    site.start(sentinel)
    authority = str(site.authority.certificate)
    await serves(url=f"rediss+sentinel://127.0.0.1:{port}/mymaster", ssl_ca_certs=authority)
    async with connected(url=f"rediss+sentinel://127.0.0.1:{port}/mymaster") as driver:
        with pytest.raises(TransportError, match="certificate"):
            await driver.put()


async def test_all_nodes_of_a_cluster_are_reached_by_tls() -> None:
    cluster = Cluster(redis_7(), {"tls-cluster": "yes"})
    try:
        shared = Certificates(cluster.servers[0].directory)
        for server in cluster.servers:
            server.certificates = shared
        cluster.start()
        url = cluster.url.replace("rediss", "rediss+cluster")
        async with connected(url=url, ssl_ca_certs=str(shared.authority)) as driver:
            for number in range(20):
                await Driver(driver.transport, f"queue-{number}").put()
        assert all(server.command("DBSIZE") for server in cluster.servers)
    except MissingServerError as missing:
        pytest.skip(str(missing))
    finally:
        cluster.stop()
