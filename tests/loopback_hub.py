"""A hub on loopback: the routes that publish, pull and space use, over plain HTTP, with faults on order.

Repositories are kept in memory as commits with their files. `*.safetensors` go by LFS, as on the real Hub.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

READER, WRITER = "hf_reader", "hf_writer"  # tokens of alice, who may write nothing, and of bob
ACCOUNTS = {READER: "alice", WRITER: "bob"}


@dataclass(frozen=True)
class Session:
    """What a token of a sign-in stands for: an account, the scopes that it granted."""

    name: str
    scopes: frozenset[str]


@dataclass
class Repo:
    """A repository: files by commit, commits by reference, pull requests."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    requests: list[dict] = field(default_factory=list)
    gated: bool = False
    private: bool = False
    ignored: set[str] = field(default_factory=set)
    variables: dict[str, str] = field(default_factory=dict)
    hardware: str = ""

    def commit(self, ref: str, files: dict[str, bytes]) -> str:
        sha = hashlib.sha1(f"{len(self.commits)}{ref}".encode()).hexdigest()
        self.commits[sha], self.refs[ref] = files, sha
        return sha

    def head(self, ref: str = "main") -> dict[str, bytes]:
        return self.commits[self.refs[ref]]


@dataclass
class Fault:
    """What goes wrong with requests whose ``METHOD path`` matches.

    `what` is a status, ``drop`` (closed without an answer, nothing done), ``lose`` (done, then closed without an
    answer), ``cut`` (done, and the answer ends in the middle), ``hang``, ``garbage``, or a function that is called
    with the hub just before the request is dealt with.
    """

    pattern: str
    what: object
    times: int = 10**6
    headers: dict[str, str] = field(default_factory=dict)


class LoopbackHub(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.log: list[str] = []
        self.tokens: set[tuple[str, str]] = set()
        self.sessions: dict[str, Session] = {}  # by token; those that people gave to a page by signing in
        self.oauth: Callable[[_Answers, str], tuple | None] | None = None  # answers for a path of the provider's
        self.released = threading.Event()
        self.hurry = 1 / 120  # of the client's patience is kept where a request hangs

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, repo_id: str, files: dict[str, bytes] | None = None, kind: str = "models") -> Repo:
        repo = self.repos[kind, repo_id] = Repo()
        repo.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n", **(files or {})})
        return repo

    def fail(self, pattern: str, what: object, times: int = 10**6, **headers: str) -> None:
        self.faults.append(Fault(pattern, what, times, {k.replace("_", "-"): v for k, v in headers.items()}))

    def sent(self, pattern: str) -> int:
        """Count the requests so far whose ``METHOD path`` matches."""
        return sum(bool(re.search(pattern, line)) for line in self.log)

    def fault(self, line: str) -> Fault | None:
        """Return what goes wrong with a request, given as ``METHOD path``."""
        return next((f for f in self.faults if f.times > 0 and re.search(f.pattern, line)), None)

    def hangs(self, line: str) -> bool:
        """Tell whether a request will be left without an answer."""
        fault = self.fault(line)
        return fault is not None and fault.what == "hang"

    def handle_error(self, request, client_address) -> None:  # dropped connections are what is wanted here
        pass


@contextmanager
def loopback_hub():
    hub = LoopbackHub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        hub.shutdown()
        hub.server_close()


class _Refused(Exception):
    """An answer that is an error: status, X-Error-Code, words."""


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the client to confirm the headers
    server: LoopbackHub

    def log_message(self, *_):
        pass

    def _any(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        self.body = self.rfile.read(length)
        line = f"{self.command} {unquote(self.path)}"
        self.server.log.append(line)
        self.token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        self.server.tokens.add((line, self.token))
        fault = self.server.fault(line)
        what = None
        if fault:
            fault.times -= 1
            what = fault.what
        if callable(what):
            what = what(self.server)
        if what == "drop":
            return self._close()
        if what == "hang":
            self.server.released.wait(30)
            return self._close()
        if isinstance(what, int):
            return self._answer(what, {"error": f"made up {what} for {self.token}"}, fault.headers)
        if what == "garbage":
            return self._answer(200, b"<html>not what you wanted</html>")
        try:
            status, content, headers = self._route()
        except _Refused as refused:
            status, code, words = refused.args
            content, headers = {"error": words}, {"X-Error-Code": code, "X-Error-Message": words} if code else {}
        if what == "lose":
            return self._close()
        self._answer(status, content, headers, cut=what == "cut")

    do_GET = do_HEAD = do_POST = do_PUT = _any

    def _close(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _answer(self, status: int, content: object, headers: dict | None = None, cut: bool = False) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._close()

    # --- routes ----------------------------------------------------------------------------------------

    def _route(self):
        parts = urlsplit(self.path)
        path, self.query = unquote(parts.path), parse_qs(parts.query)
        if self.server.oauth and (answer := self.server.oauth(self, path)):
            return answer
        if path == "/api/whoami-v2":
            return self._whoami()
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": [{"message": "empty or missing yaml metadata"}]}, {}
        if path == "/api/repos/create":
            return self._create()
        if path.startswith("/lfs/"):
            return self._lfs(path)
        for pattern, answer in _ROUTES:
            if found := re.fullmatch(pattern, path):
                groups = found.groupdict()
                kind = groups.pop("kind", None) or "models"
                return answer(self, self._repo(kind.strip("/"), groups.pop("id")), **groups)
        raise _Refused(404, "", f"no such route: {path}")

    def _repo(self, kind: str, repo_id: str) -> Repo:
        self.kind, self.repo_id = kind, repo_id
        repo = self.server.repos.get((kind, repo_id))
        if self.token and not self._account():
            raise _Refused(401, "", "Invalid credentials in Authorization header")
        if repo is None:
            raise _Refused(404, "RepoNotFound", "Repository not found")
        if repo.gated:
            raise _Refused(403, "GatedRepo", "Access is restricted")
        return repo

    def _account(self) -> str:
        session = self.server.sessions.get(self.token)
        return session.name if session else ACCOUNTS.get(self.token, "")

    def _writer(self, scope: str = "write-repos") -> str:
        session = self.server.sessions.get(self.token)
        if self._account() != ACCOUNTS[WRITER] or (session and scope not in session.scopes):
            raise _Refused(403, "", "Forbidden: you have no write right")
        return self._account()

    def _whoami(self):
        if not self._account():
            raise _Refused(401, "", "Invalid username or password.")
        return 200, {"type": "user", "name": self._account(), "orgs": []}, {}

    def _auth_check(self, repo: Repo):
        self._writer()
        return 200, {}, {}

    def _variables(self, repo: Repo):
        self._writer()
        if self.command == "POST":
            wanted = json.loads(self.body)
            repo.variables[wanted["key"]] = wanted["value"]
        return 200, {name: {"value": value} for name, value in repo.variables.items()}, {}

    def _hardware(self, repo: Repo):
        self._writer()
        repo.hardware = json.loads(self.body)["flavor"]
        asked = {"current": None, "requested": repo.hardware}
        return 200, {"stage": "BUILDING", "hardware": asked, "gcTimeout": None}, {}

    def _create(self):
        self._writer()
        wanted = json.loads(self.body)
        repo_id = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
        kind = f"{wanted.get('type') or 'model'}s"
        if (kind, repo_id) in self.server.repos:
            raise _Refused(409, "", "You already created this repo")
        self.server.add(repo_id, kind=kind).private = wanted.get("private", wanted.get("visibility") == "private")
        return 200, {"url": f"{self.server.url}/{repo_id}"}, {}

    def _sha(self, repo: Repo, revision: str | None) -> str:
        revision = revision or "main"
        if revision in repo.commits:
            return revision
        if revision not in repo.refs:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repo.refs[revision]

    def _info(self, repo: Repo, rev: str | None = None):
        sha = self._sha(repo, rev)
        siblings = [_described(p, c, "rfilename") for p, c in repo.commits[sha].items()]
        return 200, {"id": self.repo_id, "sha": sha, "private": False, "siblings": siblings}, {}

    def _paths_info(self, repo: Repo, rev: str):
        files, wanted = repo.commits[self._sha(repo, rev)], parse_qs(self.body.decode())["paths"]
        return 200, [{"type": "file", **_described(p, files[p], "path")} for p in wanted if p in files], {}

    def _tree(self, repo: Repo, rev: str):
        """List all files; the only folder that is asked for is the whole repository, recursively."""
        files = repo.commits[self._sha(repo, rev)]
        return 200, [{"type": "file", **_described(p, c, "path")} for p, c in files.items()], {}

    def _resolve(self, repo: Repo, rev: str, path: str):
        sha = self._sha(repo, rev)
        content = repo.commits[sha].get(path)
        if content is None:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        about = _described(path, content, "path")
        headers = {"X-Repo-Commit": sha, "ETag": f'"{about["oid"]}"'}
        if "lfs" in about:
            headers |= {"X-Linked-Etag": f'"{about["lfs"]["sha256"]}"', "X-Linked-Size": str(len(content))}
        return 200, content, headers

    def _preupload(self, repo: Repo, rev: str):
        self._writer()
        head = repo.commits[self._sha(repo, rev)]
        answers = []
        for file in json.loads(self.body)["files"]:
            oid = _described(file["path"], head[file["path"]], "path")["oid"] if file["path"] in head else None
            mode = "lfs" if _by_lfs(file["path"]) else "regular"
            answers.append(
                {"path": file["path"], "uploadMode": mode, "shouldIgnore": file["path"] in repo.ignored, "oid": oid}
            )
        return 200, {"files": answers}, {}

    def _batch(self, repo: Repo):
        self._writer()
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            known = wanted["oid"] in self.server.lfs
            href = {"href": f"{self.server.url}/lfs/{wanted['oid']}"}
            verify = {"href": f"{self.server.url}/lfs/verify"}
            objects.append({**wanted, **({} if known else {"actions": {"upload": href, "verify": verify}})})
        return 200, {"transfer": "basic", "objects": objects}, {}

    def _lfs(self, path: str):
        if self.command == "PUT":
            oid = path.removeprefix("/lfs/")
            if hashlib.sha256(self.body).hexdigest() != oid:
                raise _Refused(400, "", "not what was announced")
            self.server.lfs[oid] = self.body
        return 200, {}, {}

    def _commit(self, repo: Repo, rev: str):
        author = self._writer("write-discussions" if "create_pr" in self.query else "write-repos")
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        parent, create_pr = header.get("parentCommit"), "create_pr" in self.query
        head = self._sha(repo, rev)
        if parent is not None and parent != head and not create_pr:
            raise _Refused(412, "", "A commit has happened since. Please refresh and try again.")
        files = dict(repo.commits[parent or head])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.lfs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        number = len(repo.requests) + 1
        sha = repo.commit(f"refs/pr/{number}" if create_pr else rev, files)
        answer = {"success": True, "commitOid": sha, "commitUrl": f"{self.server.url}/{self.repo_id}/commit/{sha}"}
        if create_pr:
            request = {"title": header["summary"], "num": number, "author": {"name": author}, "status": "open",
                       "createdAt": "2026-11-25T00:00:00.000Z", "isPullRequest": True,
                       "repo": {"name": self.repo_id, "type": self.kind.removesuffix("s")}}  # fmt: skip
            repo.requests.append(request)
            answer["pullRequestUrl"] = f"{self.server.url}/{self.repo_id}/discussions/{number}"
        return 200, answer, {}

    def _discussions(self, repo: Repo):
        author = self.query.get("author", [None])[0]
        found = [r for r in repo.requests if r["status"] == "open" and author in (None, r["author"]["name"])]
        return 200, {"discussions": found, "count": len(found), "start": 0}, {}


_ANY = r"(?P<id>[\w.-]+/[\w.-]+)"
_API = rf"/api/(?P<kind>models|spaces)/{_ANY}"
_ROUTES = [
    (_API, _Answers._info),
    (rf"{_API}/revision/(?P<rev>.+)", _Answers._info),
    (rf"{_API}/paths-info/(?P<rev>.+)", _Answers._paths_info),
    (rf"{_API}/tree/(?P<rev>[^/]+)", _Answers._tree),
    (rf"{_API}/preupload/(?P<rev>.+)", _Answers._preupload),
    (rf"{_API}/commit/(?P<rev>.+)", _Answers._commit),
    (rf"{_API}/discussions", _Answers._discussions),
    (rf"{_API}/auth-check/write", _Answers._auth_check),
    (rf"{_API}/variables", _Answers._variables),
    (rf"{_API}/hardware", _Answers._hardware),
    (rf"/(?P<kind>spaces/)?{_ANY}\.git/info/lfs/objects/batch", _Answers._batch),
    (rf"/(?P<kind>spaces/)?{_ANY}/resolve/(?P<rev>refs/pr/\d+|[^/]+)/(?P<path>.+)", _Answers._resolve),
]


def _by_lfs(path: str) -> bool:
    return path.endswith(".safetensors")


def _described(path: str, content: bytes, name: str) -> dict:
    """Describe a file as the Hub does: a git hash, or of a pointer and SHA-256 where it is kept by LFS."""
    about = {name: path, "size": len(content)}
    sha256 = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
    stored = pointer if _by_lfs(path) else content
    oid = hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()
    lfs = {"lfs": {"sha256": sha256, "oid": sha256, "size": len(content), "pointerSize": len(pointer)}}
    return {**about, "oid": oid, "blobId": oid, **(lfs if _by_lfs(path) else {})}
