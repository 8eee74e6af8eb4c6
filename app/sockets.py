"""A WebSocket of somebody who may be signed out while it is open: it closes then, whether or not a frame comes."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

REVOKED = 4401
LOOK_SECONDS = 1.0


class Watched:
    """`used` is asked for every frame from the browser, `alive` (which does not count as use) now and then."""

    def __init__(
        self, receive: Receive, send: Send, *, used: Callable[[], Awaitable[bool]], alive: Callable[[], Awaitable[bool]]
    ) -> None:
        self._receive, self._send, self._used, self._alive = receive, send, used, alive
        self._coming: asyncio.Future[Message] | None = None
        self._is_closed = False

    async def receive(self) -> Message:
        """The next message; a disconnect once the person is signed out."""
        while not self._is_closed:
            coming = self._coming = self._coming or asyncio.ensure_future(self._receive())
            await asyncio.wait({coming}, timeout=LOOK_SECONDS)
            if not coming.done():
                if not await self._alive():
                    await self._close()
                continue
            message, self._coming = coming.result(), None
            if message["type"] != "websocket.receive" or await self._used():
                return message
            await self._close()
        return {"type": "websocket.disconnect", "code": REVOKED}

    async def send(self, message: Message) -> None:
        """What still comes from the application after the end is dropped."""
        if not self._is_closed:
            await self._send(message)

    def stop(self) -> None:
        """The application has left; nobody waits for a message any more."""
        if self._coming is not None:
            self._coming.cancel()

    async def _close(self) -> None:
        """Tells the tab to open the sign-in page, then hangs up."""
        self._is_closed = True
        forward = ForwardMsg()
        forward.auth_redirect.url = "/auth/sign-in"
        await self._send({"type": "websocket.send", "bytes": forward.SerializeToString()})
        await self._send({"type": "websocket.close", "code": REVOKED})
