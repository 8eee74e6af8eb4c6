"""Every kind of store keeps the same promises, at a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.engines.stores import (
    S3,
    AccessKey,
    AccountKey,
    AzureBlob,
    Folder,
    GoogleStorage,
    PrivateKey,
    Sftp,
    Web,
    opened,
)
from tests.engines.stores import servers
from tests.engines.stores.promises import Place, Promises, ReadPromises, written_by


class TestFolder(Promises):
    @pytest.fixture
    def place(self, folder: Path) -> Place:
        return written_by(opened(Folder("disk", str(folder))))


class TestS3(Promises):
    @pytest.fixture
    def place(self, s3_url: str, corner: str) -> Place:
        spec = S3("lake", servers.BUCKET, prefix=corner, endpoint=s3_url)
        return written_by(opened(spec, AccessKey("AKIATEST", "a-secret")))


class TestAzureBlob(Promises):
    @pytest.fixture
    def place(self, azure_url: str, corner: str) -> Place:
        spec = AzureBlob("blobs", servers.ACCOUNT, servers.BUCKET, prefix=corner, endpoint=azure_url)
        return written_by(opened(spec, AccountKey(servers.ACCOUNT_KEY)))


class TestGoogle(Promises):
    @pytest.fixture
    def place(self, google_url: str, corner: str) -> Place:
        return written_by(opened(GoogleStorage("gs", servers.BUCKET, prefix=corner, endpoint=google_url)))


class TestSftp(Promises):
    @pytest.fixture
    def place(self, ssh: servers.Ssh, corner: str) -> Iterator[Place]:
        (ssh.folder / corner).mkdir()
        root = str(ssh.folder / corner)
        spec = Sftp("far", "127.0.0.1", ssh.user, root=root, port=ssh.port, fingerprint=ssh.fingerprint)
        with opened(spec, PrivateKey(ssh.private_key)) as store:
            yield written_by(store)


class OnTheWeb(ReadPromises):
    handler: type[servers.WholeFiles]

    @pytest.fixture
    def place(self, folder: Path) -> Iterator[Place]:
        def put(path: str, content: bytes) -> None:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

        with servers.web(folder, self.handler) as url:
            yield Place(opened(Web("site", url), allowed_hosts=["127.0.0.1"]), put)


class TestWebWithRanges(OnTheWeb):
    handler = servers.Ranges


class TestWebOfWholeFiles(OnTheWeb):
    handler = servers.WholeFiles
