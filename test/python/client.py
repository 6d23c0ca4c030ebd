"""Drives docs/guide/python-client.py over a line that is cut again and again. Prints one line; fails with a traceback."""

import asyncio
import importlib.util
import pathlib
import sys

page = pathlib.Path(__file__).parents[2] / "docs" / "guide" / "python-client.py"
spec = importlib.util.spec_from_file_location("python_client", page)
guide = importlib.util.module_from_spec(spec)
spec.loader.exec_module(guide)


class Line:
    """Forwards connections to the server until it is cut."""

    def __init__(self, port):
        self._target, self._writers = port, []

    async def start(self):
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1]

    async def _accept(self, reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, there_writer]
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))

    async def _pass(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except OSError:
            pass
        writer.close()

    def cut(self):
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


async def main(url):
    line = Line(int(url.split(":")[2].split("/")[0]))
    port = await line.start()
    client, other = guide.Client(f"ws://127.0.0.1:{port}/ws"), guide.Client(url)
    created = await client.create("document", input={"n": -1})
    id, seen, ended = created["id"], [], asyncio.Event()
    await client.follow(id, lambda view: seen.append(view["version"]) if view else ended.set())

    async def cut_often():
        for _ in range(6):
            await asyncio.sleep(0.05)
            line.cut()

    cutting = asyncio.create_task(cut_often())
    for n in range(100):
        updated = await client.update(id, {"type": "MERGE", "state": {"n": n}})
        assert updated["applied"] == n + 2, updated
    await cutting
    await other.update(id, {"type": "MERGE", "state": {"from": "other"}})
    for _ in range(500):
        if seen[-1] == 102:
            break
        await asyncio.sleep(0.01)
    assert seen[0] == 1 and seen[-1] == 102 and seen == sorted(set(seen)), seen
    try:
        await client.update(id, {"type": "MERGE"})
        raise AssertionError("an invalid event was taken")
    except guide.Refused as refused:
        assert refused.code == "event_invalid"
    assert (await other._ask("deleteSession", id=id)) == {"deleted": True}
    await asyncio.wait_for(ended.wait(), 10)
    client.close(), other.close(), line.cut()
    await asyncio.sleep(0.1)
    print("python: the client of the guide applied 100 updates once each, and followed them, over a line cut 6 times")


asyncio.run(main(sys.argv[1]))
