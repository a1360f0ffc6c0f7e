"""A hub in this process: as much of the Hugging Face hub's HTTP interface as an upload needs."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from huggingface_hub import ModelCard

TOKEN = "hf_" + "t" * 34
HEAD = "0" * 40


@dataclass
class Repository:
    """A repository of models."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)


@dataclass
class FakeHub:
    """Its repositories by name, and what it does not answer."""

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    refuses: tuple[int, str] | None = None
    """Status and reason of every answer, where it refuses all."""

    def answer(self, method: str, path: str, body: bytes, token: str | None) -> tuple[int, Any]:
        """Status and content for a request."""
        if self.refuses is not None:
            return self.refuses[0], {"error": self.refuses[1]}
        if path == "/api/validate-yaml":
            ModelCard(json.loads(body)["content"])
            return 200, {"errors": [], "warnings": []}
        if token != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid credentials"}
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'anna'}/{asked['name']}"
            if name in self.repositories:
                return 409, {"error": "You already created this model repo", "url": f"{self.address}/{name}"}
            self.repositories[name] = Repository(
                private=bool(asked.get("private")) or asked.get("visibility") == "private"
            )
            return 200, {"url": f"{self.address}/{name}"}
        name, _, rest = path.removeprefix("/api/models/").partition("/preupload/")
        if rest:
            paths = [file["path"] for file in json.loads(body)["files"]]
            found = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
            return 200, {"files": found}
        name, _, rest = path.removeprefix("/api/models/").partition("/commit/")
        if rest:
            return 200, self._commit(name, body)
        name, _, rest = path.removeprefix("/api/models/").partition("/tree/")
        if rest:
            files = self.repositories[name].files
            return 200, [
                {"type": "file", "path": file, "oid": HEAD, "size": len(content)} for file, content in files.items()
            ]
        name = path.removeprefix("/api/models/").partition("/revision/")[0]
        if name not in self.repositories:
            return 404, {"error": f"there is no {path}"}
        one = self.repositories[name]
        siblings = [{"rfilename": file} for file in one.files]
        return 200, {"id": name, "private": one.private, "sha": HEAD, "siblings": siblings, "tags": []}

    def _commit(self, name: str, body: bytes) -> dict[str, str]:
        repository = self.repositories[name]
        for line in body.decode().splitlines():
            match json.loads(line):
                case {"key": "header", "value": {"summary": str(summary)}}:
                    repository.commits.append(summary)
                case {"key": "file", "value": {"path": str(path), "content": str(content)}}:
                    repository.files[path] = base64.b64decode(content)
                case {"key": "deletedFile", "value": {"path": str(path)}}:
                    del repository.files[path]
        return {"commitUrl": f"{self.address}/{name}/commit/{HEAD}", "commitOid": HEAD}


@contextmanager
def serving_hub() -> Iterator[FakeHub]:
    """Serve in a thread of this process."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = hub.answer(self.command, self.path.partition("?")[0], body, self.headers["Authorization"])
            answer = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            if status >= 400:
                self.send_header("X-Error-Message", content["error"])
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Not in the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
