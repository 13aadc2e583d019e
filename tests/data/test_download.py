"""Downloads against a server on this machine: whole, resumed, damaged, refused."""

import hashlib
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from organza.data import fetch, open_source
from organza.errors import DataError, StorageError

DATA = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves DATA; `/whole` knows no ranges, `/broken` ends every answer early."""

    def __init__(self, *args, ranges):
        self.ranges = ranges
        super().__init__(*args)

    def do_GET(self):
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        if self.path == "/missing":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.path != "/whole" else 0
        if start >= len(DATA):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        self.wfile.write(DATA[start : start + len(DATA) // 2] if self.path == "/broken" else DATA[start:])

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """The server's address, and the ranges it was asked for."""
    monkeypatch.setenv("no_proxy", "*")
    ranges = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, ranges=ranges)) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", ranges
        running.shutdown()
        thread.join()


def test_a_file_is_fetched_once_and_left_whole(tmp_path, server):
    address, ranges = server
    target = tmp_path / "deep" / "file.gz"
    for _ in range(2):
        assert fetch(f"{address}/file", to=target, sha256=SHA256) == target
    assert target.read_bytes() == DATA
    assert ranges == [None]
    assert [file.name for file in target.parent.iterdir()] == ["file.gz"]


@pytest.mark.parametrize("path", ["file", "whole"])
def test_half_a_file_is_completed(tmp_path, server, path):
    address, ranges = server
    (tmp_path / "file.gz.part").write_bytes(DATA[:1000])
    assert fetch(f"{address}/{path}", to=tmp_path / "file.gz", sha256=SHA256).read_bytes() == DATA
    assert ranges == ["bytes=1000-"]


def test_a_connection_that_breaks_is_taken_up_again(tmp_path, server):
    address, ranges = server
    assert fetch(f"{address}/broken", to=tmp_path / "file.gz", sha256=SHA256).read_bytes() == DATA
    assert ranges == [None, f"bytes={len(DATA) // 2}-"]


def test_a_complete_part_is_accepted(tmp_path, server):
    (tmp_path / "file.gz.part").write_bytes(DATA)
    assert fetch(f"{server[0]}/file", to=tmp_path / "file.gz", sha256=SHA256).read_bytes() == DATA


def test_another_checksum_removes_the_file_and_says_both(tmp_path, server):
    with pytest.raises(DataError, match=f"{SHA256}, but {'0' * 64} is needed"):
        fetch(f"{server[0]}/file", to=tmp_path / "file.gz", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_does_not_survive(tmp_path, server):
    (tmp_path / "file.gz.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="SHA-256"):
        fetch(f"{server[0]}/file", to=tmp_path / "file.gz", sha256=SHA256)
    assert fetch(f"{server[0]}/file", to=tmp_path / "file.gz", sha256=SHA256).read_bytes() == DATA


def test_offline_says_where_to_put_the_file_and_asks_nobody(tmp_path, server):
    address, ranges = server
    with pytest.raises(DataError, match=r"file\.gz is missing and --offline"):
        fetch(f"{address}/file", to=tmp_path / "file.gz", sha256=SHA256, offline=True)
    assert ranges == []


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_only_http_addresses_are_fetched(tmp_path, url):
    with pytest.raises(DataError, match="not an http"):
        fetch(url, to=tmp_path / "file", sha256=SHA256)


def test_what_the_server_refuses_is_a_data_error(tmp_path, server):
    with pytest.raises(DataError, match="404"):
        fetch(f"{server[0]}/missing", to=tmp_path / "file", sha256=SHA256)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path, server):
    (tmp_path / "taken").touch()
    with pytest.raises(StorageError, match="ORGANZA_CACHE"):
        fetch(f"{server[0]}/file", to=tmp_path / "taken" / "file", sha256=SHA256)


def test_fashion_mnist_offline_says_where_its_files_belong(options):
    chosen = options(offline=True)
    with pytest.raises(DataError, match=str(chosen.cache / "fashion-mnist")):
        open_source("fashion-mnist", chosen)
