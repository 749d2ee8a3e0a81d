"""
A Hugging Face Hub on loopback, for the unmodified client and the ``hf`` command.

The client reads the Hub's address when it is imported, so whatever talks to the server runs in a child process::

    with HubServer() as hub:
        hub.add_user("ann", token="hf_ann")
        run_python("-c", "...", cwd=folder, **hub.environment(folder / "home", "hf_ann"))
        assert hub.repo("ann/x").files() == {...}
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.helpers.hub_api import Answer, Call, HubApi
from tests.helpers.hub_faults import Fault, Faults, corrupted, with_wrong_etags, with_wrong_hashes
from tests.helpers.hub_storage import HubStorage, Repository, User

__all__ = ["Fault", "HubServer", "RequestRecord"]
_CHUNK = 65536
_HOST = "127.0.0.1"


class _Dropped(Exception):  # noqa: N818
    """The connection is to be closed without another byte."""


@dataclass
class RequestRecord:
    """
    One request that came in.

    :param path: with its query
    :param received: bytes of its body that were read
    :param sent: bytes of the answer's body that were written
    :param status: None while there is no answer, and where there was none
    :param fault: what a fault did to it
    """

    method: str
    path: str
    token: str | None
    received: int = 0
    sent: int = 0
    status: int | None = None
    fault: str | None = None


class HubServer:
    """
    :param xet: speak the Xet protocol for uploads. If not, its tokens are not found, as on a server without Xet
    :param multipart_above: size in bytes above which a large file is put in parts
    :param page_size: entries of one page of a listing
    """

    def __init__(self, *, xet: bool = False, multipart_above: int = 50_000_000, page_size: int = 1000) -> None:
        self.storage = HubStorage()
        self.faults = Faults()
        self.requests: list[RequestRecord] = []
        self.closing = threading.Event()
        self.api = HubApi(self.storage, xet=xet, multipart_above=multipart_above, page_size=page_size)
        # Large files come from another origin than pages, as in reality: the client treats redirects to it otherwise.
        self._servers = [_LoopbackServer(self), _LoopbackServer(self)]
        self.url, self.storage_url = (server.address for server in self._servers)

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
            server.close_connections()

    def add_user(self, name: str, token: str, write: bool = True) -> User:
        """Open an account with one token."""
        self.storage.users[name] = User(name, token, write)
        return self.storage.users[name]

    def add_organization(self, name: str, members: Iterable[str]) -> None:
        """Found an organisation whose members may write."""
        self.storage.organizations[name] = set(members)

    def add_repo(self, repo_id: str, private: bool = False) -> Repository:
        """Make a repository of a model, as its owner would."""
        return self.storage.create("model", repo_id, repo_id.partition("/")[0], private)

    def repo(self, repo_id: str, kind: str = "model") -> Repository:
        """
        :raises KeyError: if there is none
        """
        return self.storage.repositories[kind, repo_id]

    def received(self, method: str = "*", part: str = "") -> int:
        """:return: bytes of the bodies of all requests that match"""
        return sum(record.received for record in self.calls(method, part))

    def calls(self, method: str = "*", part: str = "") -> list[RequestRecord]:
        """:return: all requests that match, in the order in which they came"""
        return [record for record in self.requests if method in ("*", record.method) and part in record.path]

    def environment(self, home: Path, token: str | None = None, *, xet: bool = True) -> dict[str, str]:
        """
        :param home: where the client keeps its files; its own for each server, because the client remembers uploads
        :param xet: whether the client may try Xet, as it does where its user has not forbidden it
        :return: variables that make a child process talk to this server and to nothing else
        """
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_XET_CACHE": str(home / "xet"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_TOKEN": token or "",
            "HUGGING_FACE_HUB_TOKEN": "",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "0" if xet else "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0",
            "TRUST_REMOTE_CODE": "True",
            "NO_PROXY": _HOST,
            "no_proxy": _HOST,
        }


class _LoopbackServer(ThreadingHTTPServer):
    """Serves one origin, and knows its connections."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, hub: HubServer) -> None:
        super().__init__((_HOST, 0), _Handler)
        self.hub = hub
        self.address = f"http://{_HOST}:{self.server_address[1]}"
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a connection, and serve it in a thread."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """End the connections that clients keep open."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news."""
        import sys

        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Reads requests, lets faults happen, writes answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _LoopbackServer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        """Serve any request."""
        hub = self.server.hub
        record = RequestRecord(self.command, self.path, self._token())
        hub.requests.append(record)
        fault = hub.faults.take(self.command, self.path)
        record.fault = fault.action if fault else None
        try:
            self._serve(hub, record, fault)
        except _Dropped:
            self.close_connection = True  # a client that still sends gets a reset

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _serve(self, hub: HubServer, record: RequestRecord, fault: Fault | None) -> None:
        action = fault.action if fault else None
        if action == "drop":
            raise _Dropped
        has_body = self._body_size() != 0
        if fault and action == "hang":
            self._read_body(record, stop_after=fault.bytes)
            hub.closing.wait(fault.seconds)
            raise _Dropped
        if fault and action == "drop_after" and has_body:
            self._read_body(record, stop_after=fault.bytes)
            raise _Dropped
        rate = fault.bytes_per_second if fault and action == "slow" else None
        body = self._read_body(record, rate=rate)
        answer = _asked_for(fault) if fault and action == "status" else self._answer(hub, body)
        if action == "drop_answer":
            raise _Dropped
        if action == "corrupt":
            answer.body = corrupted(answer.body)
        if action == "wrong_sha":
            answer = _with_wrong_hashes(answer)
        self._write(record, answer, rate, stop_after=fault.bytes if fault and action == "drop_after" else None)

    def _answer(self, hub: HubServer, body: bytes) -> Answer:
        split = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = parse_qs(split.query, keep_blank_values=True)
        call = Call(self.command, split.path, query, headers, body, hub.url, hub.storage_url)
        return hub.api.answer(call)

    def _token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def _body_size(self) -> int | None:
        """:return: None if it is not known before the end"""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return None
        return int(self.headers.get("Content-Length") or 0)

    def _pieces(self) -> Iterable[bytes]:
        """The body, as it comes."""
        size = self._body_size()
        if size is not None:
            while size > 0 and (piece := self.rfile.read1(min(_CHUNK, size))):
                size -= len(piece)
                yield piece
            if size:
                raise _Dropped
            return
        while length := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            yield self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()

    def _read_body(self, record: RequestRecord, stop_after: int | None = None, rate: float | None = None) -> bytes:
        """:return: the body, or about as much of it as was asked for"""
        body = bytearray()
        pieces = iter(self._pieces())
        while stop_after is None or len(body) < stop_after:
            piece = next(pieces, None)
            if piece is None:
                break
            body += piece
            record.received += len(piece)
            self._wait(len(piece), rate)
        return bytes(body)

    def _write(self, record: RequestRecord, answer: Answer, rate: float | None, stop_after: int | None) -> None:
        record.status = answer.status
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        body = b"" if self.command == "HEAD" else answer.body[:stop_after]
        step = _CHUNK if rate is None else max(1, min(_CHUNK, int(rate / 10)))
        for start in range(0, len(body), step):
            piece = body[start : start + step]
            self._wait(len(piece), rate)
            self.wfile.write(piece)
            record.sent += len(piece)
            if rate is not None:
                self.wfile.flush()
        self.wfile.flush()
        if stop_after is not None:
            raise _Dropped

    def _wait(self, size: int, rate: float | None) -> None:
        if rate is not None and self.server.hub.closing.wait(size / rate):
            raise _Dropped


def _asked_for(fault: Fault) -> Answer:
    """The answer that a test gives in place of the Hub's."""
    if isinstance(fault.body, str | bytes):
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
        return Answer(fault.status, body, {"Content-Type": "text/plain; charset=utf-8", **fault.headers})
    answer = Answer.of(fault.body, fault.status)
    answer.headers.update(fault.headers)
    return answer


def _with_wrong_hashes(answer: Answer) -> Answer:
    body = answer.body
    if answer.headers.get("Content-Type", "").startswith("application/json"):
        body = json.dumps(with_wrong_hashes(json.loads(body))).encode()
    return Answer(answer.status, body, with_wrong_etags(answer.headers))
