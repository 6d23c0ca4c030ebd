"""Speaks the protocol with Python's `websockets`, as docs/protocol.md says. Prints one line; fails with a traceback."""

import asyncio
import json
import sys

from websockets import connect


async def main(url):
    async with connect(url, subprotocols=["troupe.v1"]) as writer, connect(url) as reader:
        ids = iter(range(1, 1000))

        async def call(socket, method, **params):
            request = next(ids)
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": request, "method": method, "params": params}))
            while True:
                message = json.loads(await asyncio.wait_for(socket.recv(), 10))
                if message.get("id") == request:
                    return message

        assert writer.subprotocol == "troupe.v1"
        created = (await call(writer, "createSession", machine="document", input={"from": "python"}))["result"]
        assert created["created"] and created["version"] == 1, created
        session = created["id"]

        subscribed = (await call(reader, "subscribe", id=session))["result"]
        assert subscribed["session"]["version"] == 1, subscribed

        event = {"type": "MERGE", "state": {"naïve": "✓ 🎭"}}
        updated = (await call(writer, "updateSession", id=session, event=event, key="k1"))["result"]
        assert updated["outcome"] == "committed" and updated["applied"] == 2, updated
        again = (await call(writer, "updateSession", id=session, event=event, key="k1"))["result"]
        assert again["outcome"] == "duplicate" and again["applied"] == 2, again

        heard = json.loads(await asyncio.wait_for(reader.recv(), 10))
        assert heard["method"] == "sessionUpdated" and heard["params"]["context"] == updated["context"], heard

        refused = (await call(writer, "updateSession", id=session, event={"type": "MERGE"}))["error"]
        assert refused["data"]["code"] == "event_invalid" and "state" in refused["message"], refused

        assert (await call(writer, "deleteSession", id=session))["result"] == {"deleted": True}
        ended = json.loads(await asyncio.wait_for(reader.recv(), 10))
        assert ended["method"] == "sessionEnded" and ended["params"]["reason"] == "deleted", ended
    print("python: created, subscribed, updated, repeated, refused, deleted: all as the protocol says")


asyncio.run(main(sys.argv[1]))
