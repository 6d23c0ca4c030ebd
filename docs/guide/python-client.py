"""A client of Troupe in Python, from docs/protocol.md alone: repeats, resumes, follows. Needs the library `websockets`."""

import asyncio, json, random, uuid, websockets

class Refused(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code, self.retryable = error["data"]["code"], error["data"]["retryable"]  # see the protocol's table

class Client:
    def __init__(self, url, token=None):
        self._url, self._protocols = url, ["troupe.v1"] + ([f"bearer.{token}"] if token else [])
        self._waiting, self._last_id = {}, 0  # answers that are awaited, by request id
        self._views, self._callbacks, self._lanes = {}, {}, {}  # by session id
        self._socket, self._open, self._fatal = None, asyncio.Event(), None
        self._task = asyncio.create_task(self._run())

    async def create(self, machine, **params):
        return await self._ask("createSession", machine=machine, **{"key": uuid.uuid4().hex, **params})

    async def update(self, id, event, **params):
        """Applied once, however often the connection is lost, and after what was sent before to the same session."""
        async with self._lanes.setdefault(id, asyncio.Lock()):
            return await self._ask("updateSession", id=id, event=event, **{"key": uuid.uuid4().hex, **params})

    async def follow(self, id, callback):
        """Calls `callback(view)` with each newer view, over all losses of the connection, and `callback(None)` at the end."""
        self._callbacks[id] = callback
        await self._subscribe(id)

    def close(self):
        self._task.cancel()

    async def _run(self):
        tries = 0  # since something came
        while self._fatal is None:
            try:
                async with websockets.connect(self._url, subprotocols=self._protocols) as self._socket:
                    self._open.set()
                    resumed = [asyncio.create_task(self._subscribe(id)) for id in self._views if id in self._callbacks]
                    async for text in self._socket:
                        tries = 0
                        self._heard(json.loads(text))
            except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as lost:
                if 4500 <= (getattr(getattr(lost, "rcvd", None), "code", 0) or 0) <= 4999:
                    self._fatal = lost  # stay away
            (self._open.set if self._fatal else self._open.clear)()
            [answer.cancel() for answer in self._waiting.values()]
            await asyncio.sleep(random.random() * min(10, 0.25 * 2**tries))
            tries += 1

    async def _ask(self, method, **params):
        for tries in range(100):
            await self._open.wait()
            if self._fatal: raise self._fatal
            id = self._last_id = self._last_id + 1
            answer = self._waiting[id] = asyncio.get_running_loop().create_future()
            try:
                await self._socket.send(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
                await asyncio.wait({answer}, timeout=20)
                if answer.done() and not answer.cancelled():  # cancelled: the connection was lost
                    return answer.result()
            except websockets.ConnectionClosed:
                await asyncio.sleep(0.01)  # the same again over the next connection, with the same key
            except Refused as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(random.random() * min(5, 0.1 * 2**tries))
            finally:
                del self._waiting[id]
        raise TimeoutError(f"{method} may have been applied: send it again with the key {params.get('key')}")

    async def _subscribe(self, id):
        since = {key: self._views[id][key] for key in ("epoch", "version")} if id in self._views else None
        try:
            self._newer((await self._ask("subscribe", id=id, **({"since": since} if since else {})))["session"] or {})
        except Refused as error:
            if since is None or error.code != "not_found":
                raise
            self._heard({"method": "sessionEnded", "params": {"id": id}})

    def _heard(self, message):
        answer, params = self._waiting.get(message.get("id")), message.get("params", {})
        if answer and "error" in message:
            answer.set_exception(Refused(message["error"]))
        elif answer:
            answer.set_result(message["result"])
            self._newer(message["result"] or {})
        elif message.get("method") == "sessionUpdated":
            self._newer(params)
        elif message.get("method") == "sessionEnded" and params["id"] in self._callbacks:
            self._views.pop(params["id"], None)
            self._callbacks.pop(params["id"])(None)

    def _newer(self, view):
        at = lambda of: (int(of["epoch"]), of["version"])  # epochs are numbers as text
        id, known = view.get("id"), self._views.get(view.get("id"))
        if id in self._callbacks and (known is None or at(view) > at(known)):
            self._views[id] = view
            self._callbacks[id](view)
