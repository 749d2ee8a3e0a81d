"""What a Hub answers to each request; sockets are the business of ``hub_server``."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import yaml

from tests.helpers.hub_storage import (
    MAIN,
    Commit,
    HubError,
    HubStorage,
    Repository,
    StoredFile,
    User,
    folders_of,
    git_hash,
    now,
)
from tests.helpers.hub_xet import XetError, XetStorage

_JSON = "application/json; charset=utf-8"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True)
class Call:
    """
    One request, read.

    :param url: where the Hub listens
    :param storage_url: where large files are put and fetched, another origin as in reality
    :param parts: what the route's pattern captured, decoded
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    url: str
    storage_url: str
    user: User | None = None
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> dict[str, Any]:
        """The body, read as JSON."""
        try:
            found = json.loads(self.body or b"{}")
        except ValueError as error:
            raise HubError(400, f"malformed JSON: {error}") from error
        if not isinstance(found, dict):
            raise HubError(400, "expected a JSON object")
        return found

    def first(self, name: str, default: str = "") -> str:
        """:return: a value of the query"""
        return self.query.get(name, [default])[0]

    def is_set(self, name: str) -> bool:
        """:return: whether a value of the query is true"""
        return self.first(name).lower() in ("1", "true")


@dataclass
class Answer:
    """
    :param body: sent as it is; HEAD leaves it out and says its length
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(content: Any, status: int = 200, **headers: str) -> Answer:
        """:return: an answer in JSON"""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status, json.dumps(content).encode(), {"Content-Type": _JSON, **named})

    @staticmethod
    def error(error: HubError) -> Answer:
        """:return: a refusal, as the Hub words it"""
        headers = {"X_Error_Message": error.message.replace("\n", " ")}
        if error.code:
            headers["X_Error_Code"] = error.code
        return Answer.of({"error": error.message}, error.status, **headers)


Endpoint = Callable[["HubApi", Call], Answer]
_ROUTES: list[tuple[str, re.Pattern[str], Endpoint]] = []
_PIECES = {"REPO": r"(?P<repo>[^/]+/[^/]+)", "KIND": r"(?P<kind>model|dataset|space)s", "REV": r"(?P<rev>[^/]+)"}


def _route(method: str, pattern: str) -> Callable[[Endpoint], Endpoint]:
    for name, piece in _PIECES.items():
        pattern = pattern.replace(name, piece)

    def add(endpoint: Endpoint) -> Endpoint:
        _ROUTES.append((method, re.compile(pattern + "$"), endpoint))
        return endpoint

    return add


class HubApi:
    """
    The endpoints that the client and the ``hf`` command call.

    :param storage: what is kept
    :param xet: speak the Xet protocol for uploads; if not, its tokens are not found, as on a server without it
    :param multipart_above: size in bytes above which a large file is put in parts
    :param page_size: entries of one page of a listing
    """

    def __init__(self, storage: HubStorage, *, xet: bool, multipart_above: int, page_size: int) -> None:
        self.storage = storage
        self.xet = XetStorage() if xet else None
        self.multipart_above = multipart_above
        self.page_size = page_size
        self._parts: dict[tuple[str, int], bytes] = {}

    def answer(self, call: Call) -> Answer:
        """:return: what the Hub says; an unknown path is not found"""
        method = "GET" if call.method == "HEAD" else call.method
        for verb, pattern, endpoint in _ROUTES:
            match = pattern.match(call.path) if verb == method else None
            if match is None:
                continue
            try:
                parts = {name: unquote(value) for name, value in match.groupdict().items() if value is not None}
                with self.storage.lock:
                    return endpoint(self, replace(call, user=self._user(call), parts=parts))
            except HubError as error:
                return Answer.error(error)
        return Answer.error(HubError(404, "Sorry, we can't find the page you are looking for."))

    def _user(self, call: Call) -> User | None:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        of_xet = call.path.startswith("/cas/")
        return None if of_xet or scheme != "Bearer" else self.storage.user_of(token)

    def _repository(self, call: Call, write: bool = False) -> Repository:
        kind = call.parts.get("kind", "model")
        find = self.storage.writable if write else self.storage.readable
        return find(kind, call.parts["repo"], call.user)

    def _page(self, call: Call, entries: list[Any]) -> Answer:
        """One page, with a link to the next."""
        size = min(int(call.first("limit") or self.page_size), self.page_size)
        start = int(call.first("cursor") or 0)
        answer = Answer.of(entries[start : start + size])
        if start + size < len(entries):
            kept = [(name, value) for name, values in call.query.items() if name != "cursor" for value in values]
            query = "&".join(f"{quote(name)}={quote(value)}" for name, value in [*kept, ("cursor", str(start + size))])
            answer.headers["Link"] = f'<{call.url}{call.path}?{query}>; rel="next"'
        return answer

    # Accounts and repositories

    @_route("GET", r"/api/whoami-v2")
    def whoami(self, call: Call) -> Answer:
        """The token's owner."""
        if call.user is None:
            raise HubError(401, "Invalid username or password.")
        name, groups = call.user.name, self.storage.organizations
        return Answer.of(
            {
                "type": "user",
                "id": git_hash("user", name.encode())[:24],
                "name": name,
                "fullname": name.title(),
                "isPro": False,
                "orgs": [{"type": "org", "name": group} for group in sorted(groups) if name in groups[group]],
                "auth": {
                    "type": "access_token",
                    "accessToken": {"displayName": "test", "role": "write" if call.user.write else "read"},
                },
            }
        )

    @_route("POST", r"/api/repos/create")
    def create_repository(self, call: Call) -> Answer:
        """Make a repository."""
        if call.user is None:
            raise HubError(401, "Invalid username or password.")
        wish = call.json
        kind, owner = wish.get("type") or "model", wish.get("organization") or call.user.name
        name = str(wish.get("name"))
        if not NAME.fullmatch(name) or ".." in name or "--" in name or name.endswith((".git", "-", ".")):
            raise HubError(400, f'"name" with value "{name}" is no valid name of a repository')
        if not self.storage.may_write(call.user, owner):
            raise HubError(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
        repo_id = f"{owner}/{name}"
        url = f"{call.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        if (kind, repo_id) in self.storage.repositories:
            return Answer.of({"error": f"You already created this {kind} repo: {repo_id}", "url": url}, 409)
        private = wish.get("visibility") == "private" or bool(wish.get("private"))
        self.storage.create(kind, repo_id, call.user.name, private)
        return Answer.of({"url": url, "name": repo_id, "id": git_hash("repo", repo_id.encode())[:24]})

    @_route("DELETE", r"/api/repos/delete")
    def delete_repository(self, call: Call) -> Answer:
        """Take a repository away."""
        wish = call.json
        owner = wish.get("organization") or (call.user.name if call.user else "")
        found = self.storage.writable(wish.get("type") or "model", f"{owner}/{wish.get('name')}", call.user)
        del self.storage.repositories[found.kind, found.id]
        return Answer(200, b"OK", {"Content-Type": "text/plain"})

    @_route("PUT", r"/api/KIND/REPO/settings")
    def change_settings(self, call: Call) -> Answer:
        """Make a repository private or public."""
        found, wish = self._repository(call, write=True), call.json
        found.private = wish.get("visibility") == "private" or bool(wish.get("private"))
        return Answer.of({"private": found.private})

    @_route("GET", r"/api/KIND")
    def list_repositories(self, call: Call) -> Answer:
        """Repositories by owner and tags, as leaderboards ask for them."""
        found = []
        for (kind, _), repository in sorted(self.storage.repositories.items()):
            visible = not repository.private or self.storage.belongs(call.user, repository.owner)
            if kind != call.parts["kind"] or not visible or call.first("author", repository.owner) != repository.owner:
                continue
            info = _info(repository, repository.commit_of(MAIN), blobs=False)
            wanted = {tag for text in call.query.get("filter", []) for tag in text.split(",")}
            if wanted <= set(info["tags"]) and call.first("search") in repository.id:
                found.append(info)
        return self._page(call, found)

    @_route("GET", r"/api/KIND/REPO(?:/revision/REV)?")
    def repository_info(self, call: Call) -> Answer:
        """A repository: card, tags, files."""
        found = self._repository(call)
        commit = found.commit_of(call.parts.get("rev", MAIN))
        return Answer.of(_info(found, commit, blobs=call.is_set("blobs")))

    @_route("GET", r"/api/KIND/REPO/refs")
    def references(self, call: Call) -> Answer:
        """Branches and tags."""
        found = self._repository(call)
        return Answer.of(
            {
                "branches": _references("heads", found.branches),
                "converts": [],
                "tags": _references("tags", found.tags),
                "pullRequests": [],
            }
        )

    @_route("POST", r"/api/KIND/REPO/branch/REV")
    def create_branch(self, call: Call) -> Answer:
        """Begin a branch."""
        found, name = self._repository(call, write=True), call.parts["rev"]
        if name in found.branches:
            raise HubError(409, f"Reference already exists: refs/heads/{name}")
        found.branches[name] = found.commit_of(call.json.get("startingPoint") or MAIN).id
        return Answer(201)

    @_route("DELETE", r"/api/KIND/REPO/branch/REV")
    def delete_branch(self, call: Call) -> Answer:
        """End a branch."""
        if self._repository(call, write=True).branches.pop(call.parts["rev"], None) is None:
            raise HubError(404, "Invalid rev id", "RevisionNotFound")
        return Answer()

    @_route("POST", r"/api/KIND/REPO/tag/REV")
    def create_tag(self, call: Call) -> Answer:
        """Name a commit."""
        found, name = self._repository(call, write=True), str(call.json.get("tag"))
        if name in found.tags:
            raise HubError(409, f"Tag already exists: {name}")
        found.tags[name] = found.commit_of(call.parts["rev"]).id
        return Answer(201)

    @_route("GET", r"/api/KIND/REPO/commits/REV")
    def commits(self, call: Call) -> Answer:
        """A branch's history."""
        history = self._repository(call).history(call.parts["rev"])
        return self._page(call, [_commit(commit) for commit in history])

    # Reading files

    @_route("GET", r"/api/KIND/REPO/tree/REV(?:/(?P<folder>.+))?")
    def tree(self, call: Call) -> Answer:
        """Files and folders in a folder."""
        commit = self._repository(call).commit_of(call.parts["rev"])
        folder = call.parts.get("folder", "").strip("/")
        prefix = f"{folder}/" if folder else ""
        below = [path for path in commit.files if path.startswith(prefix)]
        if folder and not below:
            raise HubError(404, f"{folder} does not exist on {call.parts['rev']}", "EntryNotFound")
        paths = sorted({*below, *folders_of(below)} - {folder, *folders_of([prefix])})
        if not call.is_set("recursive"):
            paths = [path for path in paths if "/" not in path[len(prefix) :]]
        return self._page(call, [_entry(commit, path, expand=call.is_set("expand")) for path in paths])

    @_route("POST", r"/api/KIND/REPO/paths-info/REV")
    def paths_info(self, call: Call) -> Answer:
        """Files and folders by name; those that do not exist are left out."""
        commit = self._repository(call).commit_of(call.parts["rev"])
        form = parse_qs(call.body.decode())
        known = {*commit.files, *folders_of(commit.files)}
        expand = form.get("expand", [""])[0].lower() == "true"
        asked = [path.strip("/") for path in form.get("paths", [])]
        return Answer.of([_entry(commit, path, expand) for path in asked if path in known])

    @_route("GET", r"/(?:(?P<kind>dataset|space)s/)?REPO/(?:resolve|raw)/REV/(?P<path>.+)")
    def resolve(self, call: Call) -> Answer:
        """One file; a large one lies elsewhere."""
        found = self._repository(call)
        commit = found.commit_of(call.parts["rev"])
        file = commit.files.get(call.parts["path"])
        if file is None:
            refused = Answer.error(HubError(404, "Entry not found", "EntryNotFound"))
            refused.headers["X-Repo-Commit"] = commit.id
            return refused
        headers = {"X-Repo-Commit": commit.id, "ETag": f'"{file.blob_id}"', "Accept-Ranges": "bytes"}
        if not file.lfs:
            return _ranged(call, file.content, {**headers, "Content-Type": "text/plain; charset=utf-8"})
        headers |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.content))}
        headers["Location"] = f"{call.storage_url}/lfs-objects/{quote(found.id)}/{file.sha256}?signature=1"
        return Answer(302, f"Found. Redirecting to {headers['Location']}".encode(), headers)

    @_route("GET", r"/lfs-objects/REPO/(?P<oid>[0-9a-f]{64})")
    def fetch_large(self, call: Call) -> Answer:
        """A large file, from where it is stored. Its address is signed, so that no token is asked for."""
        content = self._signed(call).large.get(call.parts["oid"])
        if content is None:
            raise HubError(404, "no such object")
        headers = {"ETag": f'"{hashlib.md5(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        return _ranged(call, content, {**headers, "Content-Type": "application/octet-stream"})

    # Writing files

    @_route("POST", r"/api/KIND/REPO/preupload/REV")
    def preupload(self, call: Call) -> Answer:
        """How each file is to be sent, and what is there already."""
        found, branch = self._repository(call, write=True), call.parts["rev"]
        commit, wish = found.commit_of(branch), call.json
        answers = []
        for file in wish["files"]:
            path, sample = file["path"], base64.b64decode(file.get("sample") or "")
            old = commit.files.get(path)
            answers.append(
                {
                    "path": path,
                    "uploadMode": "lfs" if found.is_large(branch, path, file["size"], sample) else "regular",
                    "shouldIgnore": found.is_ignored(branch, path, wish.get("gitIgnore")),
                    **({"oid": old.etag} if old else {}),
                }
            )
        return Answer.of({"files": answers, "commitOid": commit.id})

    @_route("POST", r"/(?:(?P<kind>dataset|space)s/)?REPO\.git/info/lfs/objects/batch")
    def large_batch(self, call: Call) -> Answer:
        """Where large files are to be put; those that are there already have no action."""
        found, wish = self._repository(call, write=True), call.json
        in_parts = "multipart" in wish.get("transfers", [])
        several = in_parts and any(item["size"] > self.multipart_above for item in wish["objects"])
        objects = [self._large_object(call, found, item, in_parts) for item in wish["objects"]]
        return Answer.of({"transfer": "multipart" if several else "basic", "objects": objects})

    def _large_object(self, call: Call, found: Repository, item: Mapping[str, Any], in_parts: bool) -> dict[str, Any]:
        oid, size = item["oid"], item["size"]
        described: dict[str, Any] = {"oid": oid, "size": size, "authenticated": True}
        if oid in found.large:
            return described
        upload: dict[str, Any] = {"href": f"{call.storage_url}/lfs/{quote(found.id)}/{oid}?signature=1"}
        if in_parts and size > self.multipart_above:
            count = -(-size // self.multipart_above)
            addresses = {str(part): f"{upload['href']}&part={part}" for part in range(1, count + 1)}
            upload["header"] = {"chunk_size": str(self.multipart_above), **addresses}
            upload["href"] = f"{call.url}/api/complete_multipart/{quote(found.id)}/{oid}?signature=1"
        verify = {"href": f"{call.url}/api/verify_lfs/{quote(found.id)}/{oid}?signature=1"}
        return {**described, "actions": {"upload": upload, "verify": verify}}

    def _signed(self, call: Call) -> Repository:
        """The repository of a signed address, whose bearer needs no token."""
        if not call.is_set("signature"):
            raise HubError(403, "AccessDenied")
        for kind in ("model", "dataset", "space"):
            if found := self.storage.repositories.get((kind, call.parts["repo"])):
                return found
        raise HubError(404, "NoSuchBucket")

    @_route("PUT", r"/lfs/REPO/(?P<oid>[0-9a-f]{64})")
    def put_large(self, call: Call) -> Answer:
        """A large file, or a part of one."""
        found, oid, part = self._signed(call), call.parts["oid"], call.first("part")
        if part:
            self._parts[oid, int(part)] = call.body
        else:
            found.large[oid] = call.body
        return Answer(200, headers={"ETag": f'"{hashlib.md5(call.body).hexdigest()}"'})

    @_route("POST", r"/api/complete_multipart/REPO/(?P<oid>[0-9a-f]{64})")
    def complete_large(self, call: Call) -> Answer:
        """All parts have come."""
        found, oid, wish = self._signed(call), call.parts["oid"], call.json
        parts = [self._parts.pop((oid, part["partNumber"]), None) for part in wish["parts"]]
        if any(part is None for part in parts):
            raise HubError(400, "InvalidPart")
        found.large[oid] = b"".join(part for part in parts if part is not None)
        return Answer.of({"success": True})

    @_route("POST", r"/api/verify_lfs/REPO/(?P<oid>[0-9a-f]{64})")
    def verify_large(self, call: Call) -> Answer:
        """Whether what was put is what was announced; if not, it is thrown away."""
        found, oid = self._signed(call), call.parts["oid"]
        content = found.large.get(oid)
        if content is None or hashlib.sha256(content).hexdigest() != oid:
            found.large.pop(oid, None)
            raise HubError(400, "the stored object has another SHA-256")
        return Answer.of({"success": True})

    @_route("POST", r"/api/KIND/REPO/commit/REV")
    def commit(self, call: Call) -> Answer:
        """Files added and deleted, as one JSON object per line."""
        found, branch = self._repository(call, write=True), call.parts["rev"]
        parent = found.commit_of(branch)
        files, header = dict(parent.files), {"summary": "", "description": ""}
        for line in call.body.splitlines():
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "header":
                header = value
                continue
            path = str(value["path"]).strip("/")
            if not path or any(part in ("", ".", "..", ".git") for part in path.split("/")):
                raise HubError(400, f"Invalid path: {path}")
            self._apply(found, files, key, path, value)
        if header.get("parentCommit") not in (None, parent.id):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        _check_card(files)
        assert call.user is not None
        made = found.add_commit(branch, files, call.user.name, header["summary"], header.get("description") or "")
        prefix = "" if found.kind == "model" else f"{found.kind}s/"
        url = f"{call.url}/{prefix}{found.id}/commit/{made.id}"
        return Answer.of({"success": True, "commitOid": made.id, "commitUrl": url, "hookOutput": ""})

    def _apply(
        self, found: Repository, files: dict[str, StoredFile], key: str, path: str, value: Mapping[str, Any]
    ) -> None:
        """One line of a commit."""
        if key == "file":
            encoded = value.get("encoding") == "base64"
            content = base64.b64decode(value["content"]) if encoded else str(value["content"]).encode()
            files[path] = StoredFile(content, lfs=False)
        elif key == "lfsFile":
            files[path] = StoredFile(self._large_content(found, value["oid"]), lfs=True)
        elif key == "deletedFile" and path in files:
            del files[path]
        elif key == "deletedFolder" and path in folders_of(files):
            for name in [name for name in files if name.startswith(f"{path}/")]:
                del files[name]
        elif key in ("deletedFile", "deletedFolder"):
            raise HubError(404, f'A file with the name "{path}" does not exist', "EntryNotFound")
        elif key == "copyFile":
            source = found.commit_of(value.get("srcRevision") or MAIN).files.get(value["srcPath"])
            if source is None:
                raise HubError(404, f'A file with the name "{value["srcPath"]}" does not exist', "EntryNotFound")
            files[path] = source
        else:
            raise HubError(400, f'"key" with value "{key}" is not known')

    def _large_content(self, found: Repository, oid: str) -> bytes:
        if oid not in found.large and self.xet is not None and oid in self.xet.files:
            found.large[oid] = self.xet.files[oid]
        if oid not in found.large:
            raise HubError(400, f"LFS pointer pointed to a file that does not exist: {oid}")
        return found.large[oid]

    @_route("POST", r"/api/validate-yaml")
    def validate_card(self, call: Call) -> Answer:
        """Whether a card's metadata is sound."""
        errors, warnings = card_problems(str(call.json.get("content")))
        described = {"errors": [{"message": text} for text in errors], "warnings": [{"message": w} for w in warnings]}
        return Answer.of(described, 400 if errors else 200)

    # Xet

    @_route("GET", r"/api/KIND/REPO/xet-(?P<right>read|write)-token/REV")
    def xet_token(self, call: Call) -> Answer:
        """Where and with what a client speaks Xet."""
        self._repository(call, write=call.parts["right"] == "write")
        if self.xet is None:
            raise HubError(404, "Sorry, we can't find the page you are looking for.")
        address, expiry = f"{call.storage_url}/cas", 4_102_444_800
        return Answer.of(
            {"casUrl": address, "accessToken": "xet_test", "exp": expiry},
            X_Xet_Cas_Url=address,
            X_Xet_Access_Token="xet_test",
            X_Xet_Token_Expiration=str(expiry),
        )

    def _xet(self, call: Call) -> XetStorage:
        if self.xet is None or call.headers.get("authorization") != "Bearer xet_test":
            raise HubError(401, "no Xet token")
        return self.xet

    @_route("POST", r"/cas/v1/xorbs/default/(?P<hash>[0-9a-f]{64})")
    def xet_xorb(self, call: Call) -> Answer:
        """Chunks of files."""
        try:
            new = self._xet(call).add_xorb(call.parts["hash"], call.body)
        except XetError as error:
            raise HubError(400, str(error)) from error
        return Answer.of({"was_inserted": new})

    @_route("POST", r"/cas(?:/v1)?/shards?(?:/.*)?")
    def xet_shard(self, call: Call) -> Answer:
        """How files are made of chunks."""
        try:
            self._xet(call).add_shard(call.body)
        except XetError as error:
            raise HubError(400, str(error)) from error
        return Answer.of({"result": 1})


def _ranged(call: Call, content: bytes, headers: dict[str, str]) -> Answer:
    """All of a file, or the one range of it that was asked for."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("range", ""))
    if match is None or match[0] == "bytes=-":
        return Answer(200, content, headers)
    size = len(content)
    start = int(match[1]) if match[1] else max(0, size - int(match[2]))
    end = min(int(match[2]), size - 1) if match[1] and match[2] else size - 1
    if start > end:
        return Answer(416, b"", {**headers, "Content-Range": f"bytes */{size}"})
    return Answer(206, content[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{size}"})


def _references(folder: str, found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": target} for name, target in found.items()]


def _commit(commit: Commit) -> dict[str, Any]:
    described = {"id": commit.id, "title": commit.title, "message": commit.message, "date": commit.date}
    return {**described, "authors": [{"user": commit.author}]}


def _large(file: StoredFile, name: str) -> dict[str, Any]:
    return {"lfs": {name: file.sha256, "size": len(file.content), "pointerSize": len(file.pointer)}} if file.lfs else {}


def _entry(commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    """A file or a folder, as listings have it."""
    last = {"lastCommit": {"id": commit.id, "title": commit.title, "date": commit.date}} if expand else {}
    file = commit.files.get(path)
    if file is None:
        return {"type": "directory", "oid": git_hash("tree", path.encode()), "size": 0, "path": path, **last}
    described = {"type": "file", "oid": file.blob_id, "size": len(file.content), "path": path}
    return {**described, **_large(file, "oid"), **last}


def _info(found: Repository, commit: Commit, blobs: bool) -> dict[str, Any]:
    """A repository, as ``model_info`` has it."""
    metadata = _metadata(commit)
    library = metadata.get("library_name")
    siblings = []
    for path, file in sorted(commit.files.items()):
        extra = {"size": len(file.content), "blobId": file.blob_id, **_large(file, "sha256")} if blobs else {}
        siblings.append({"rfilename": path, **extra})
    return {
        "_id": git_hash("repo", found.id.encode())[:24],
        "id": found.id,
        "modelId": found.id,
        "author": found.owner,
        "sha": commit.id,
        "lastModified": commit.date,
        "createdAt": found.created or now(),
        "private": found.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "library_name": library,
        "tags": [*([library] if library else []), *(metadata.get("tags") or []), "region:us"],
        "cardData": json.loads(json.dumps(metadata, default=str)),
        "model-index": metadata.get("model-index"),
        "siblings": siblings,
        "spaces": [],
        "usedStorage": sum(len(file.content) for file in commit.files.values()),
    }


def _metadata(commit: Commit) -> dict[str, Any]:
    """A card's metadata; one that cannot be read, as git lets it be pushed, has none."""
    try:
        card = front_matter(commit.files["README.md"].content.decode("utf-8", "replace"))
    except (KeyError, yaml.YAMLError):
        return {}
    return card if isinstance(card, dict) else {}


def front_matter(card: str) -> Any:
    """
    :return: the metadata at the very beginning of a card, None if there is none
    """
    match = re.match(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", card, re.DOTALL)
    return yaml.safe_load(match[1]) if match else None


def card_problems(card: str) -> tuple[list[str], list[str]]:
    """:return: errors and warnings that the Hub would give"""
    try:
        metadata = front_matter(card)
    except yaml.YAMLError as error:
        return [f"invalid YAML: {' '.join(str(error).split())}"], []
    if metadata is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(metadata, dict):
        return ["metadata must be an object"], []
    errors = []
    tags = metadata.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        errors.append('"tags" must be an array of strings')
    if not isinstance(metadata.get("library_name", ""), str):
        errors.append('"library_name" must be a string')
    if "model-index" in metadata:
        errors += _index_problems(metadata["model-index"])
    return errors, []


def _index_problems(index: Any) -> list[str]:
    """What is wrong with the results of a card."""
    if not isinstance(index, list):
        return ['"model-index" must be an array']
    problems = []
    for number, model in enumerate(index):
        place = f"model-index[{number}]"
        problems += _missing(model, place, ["name", "results"])
        for count, result in enumerate(model.get("results") or [] if isinstance(model, dict) else []):
            inner = f"{place}.results[{count}]"
            problems += _missing(result, inner, ["task", "metrics"])
            problems += _missing(result.get("task"), f"{inner}.task", ["type"])
            if "dataset" in result:
                problems += _missing(result["dataset"], f"{inner}.dataset", ["name", "type"])
            for order, metric in enumerate(result.get("metrics") or []):
                problems += _missing(metric, f"{inner}.metrics[{order}]", ["type", "value"])
    return problems


def _missing(value: Any, place: str, names: Iterable[str]) -> list[str]:
    if not isinstance(value, dict):
        return [f'"{place}" must be an object']
    return [f'"{place}.{name}" is required' for name in names if value.get(name) in (None, "")]


def _check_card(files: Mapping[str, StoredFile]) -> None:
    """The Hub refuses a commit whose card it cannot read."""
    card = files.get("README.md")
    errors = card_problems(card.content.decode("utf-8", "replace"))[0] if card else []
    if errors:
        raise HubError(400, "Your push was rejected because of invalid metadata in README.md:\n" + "\n".join(errors))
