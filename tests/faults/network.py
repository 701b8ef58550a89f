"""A proxy that counts how often its clients try."""

import asyncio

from tests.proxy import Proxy


class CountingProxy(Proxy):
    """Counts the connections that were opened to it, served or not, and what was sent through them."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.attempts = 0

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempts += 1
        await super()._accept(reader, writer)
