"""An overlord of Druid and the place of its tasks that say what a test wants them to, over HTTP."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


class Druid:
    """The overlord and the tasks of one datasource: what is answered by path, and what was asked by whom."""

    def __init__(self, port: int, datasource: str) -> None:
        self.port = port
        self.datasource = datasource
        self.answers: dict[str, bytes | int] = {}
        """A content, a status, or a negative number: no answer for so many seconds."""

        self.asked: list[str] = []
        self.shown: list[str | None] = []
        self.rows = 0
        """How many each of the tasks has made."""

        self.thrown_away = 0
        """How many each has left out."""

        self.read: dict[str, dict[str, int]] = {}
        self._publishing: list[str] = []
        self._tasks: dict[str, dict[str, Any]] = {}
        self.holds()

    def reads(
        self, task: str, said: Mapping[str, int], own: Any = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """A task that runs here or elsewhere: what its supervisor says of it, and what it says, a JSON or an answer."""
        self.read[task] = {**said}
        self._tasks[task] = {"host": host, "port": port or self.port, "tlsPort": -1}
        self._list()
        own = msgspec.json.encode(own) if isinstance(own, dict | list) else own
        if own is not None:
            self.answers[f"/druid/worker/v1/chat/{task}/offsets/current"] = own

    def ends(self, task: str, *, publishing: bool = False) -> None:
        """It does not read any more; then nobody speaks of it, unless it publishes."""
        del self.read[task]
        if publishing:
            self._publishing.append(task)
        self._list()

    def holds(self, *segments: str, datasource: str = "") -> None:
        """What the tasks here serve."""
        held = [
            {"action": "load", "dataSource": datasource or self.datasource, "identifier": each, "size": 0}
            for each in segments
        ]
        changes = {"counter": {"counter": 1, "hash": 2}, "resetCounter": False, "requests": held}
        self.answers["/druid-internal/v1/segments"] = msgspec.json.encode(changes)

    def moves(self, task: str, location: Mapping[str, Any]) -> None:
        self._tasks[task] = {**location}
        self._list()

    def count(self, part: str) -> int:
        """How often something with that in its path was asked for."""
        return sum(part in each for each in self.asked)

    def _list(self) -> None:
        running = [
            {"id": task, "dataSource": self.datasource, "location": place} for task, place in self._tasks.items()
        ]
        self.answers["/druid/indexer/v1/tasks"] = msgspec.json.encode(running)
        active = [
            {"id": task, "startingOffsets": dict.fromkeys(said, 0), "currentOffsets": said}
            for task, said in self.read.items()
        ]
        publishing = [{"id": task} for task in self._publishing]
        payload = {"state": "RUNNING", "healthy": True, "activeTasks": active, "publishingTasks": publishing}
        supervisor = f"/druid/indexer/v1/supervisor/{self.datasource}"
        self.answers[f"{supervisor}/status"] = msgspec.json.encode({"payload": payload})
        made = {"totals": {"buildSegments": {"processed": self.rows, "thrownAway": self.thrown_away, "unparseable": 0}}}
        self.answers[f"{supervisor}/stats"] = msgspec.json.encode({"0": dict.fromkeys(self.read, made)})


class _Serving:
    def __init__(self, datasource: str, tls: ssl.SSLContext | None) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                druid.asked.append(self.path)
                druid.shown.append(self.headers["Authorization"])
                answer = druid.answers.get(path, 404)
                if isinstance(answer, int) and answer < 0:
                    self_.ended.wait(-answer)
                    answer = 500
                content = answer if isinstance(answer, bytes) else b""
                self.send_response(answer if isinstance(answer, int) else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                pass

        self_ = self
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        druid = self.druid = Druid(self._server.server_port, datasource)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def told_druid(datasource: str, tls: ssl.SSLContext | None = None) -> Iterator[Druid]:
    """On a free port of this machine, over TLS where a context is given."""
    with closing(_Serving(datasource, tls)) as serving:
        yield serving.druid
