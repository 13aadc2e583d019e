"""Downloads that resume, are checked against a SHA-256 sum, and appear under their final name only when whole."""

from __future__ import annotations

import errno
import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from organza.data.progress import progress
from organza.errors import DataError, StorageError, cause

ATTEMPTS = 3
TIMEOUT_S = 30.0
CHUNK = 2**20


def fetch(url: str, *, to: Path, sha256: str, offline: bool = False) -> Path:
    """Download `url` to the file `to`, unless it is there already, and return `to`.

    An interrupted download stays beside it as `<name>.part` and is continued by the next call.

    Args:
        url: An http or https address.
        to: Where the file is to be.
        sha256: Its expected SHA-256 sum, in hexadecimal. A file with another sum is removed.
        offline: Do not download; fail and say where to put the file.

    Raises:
        DataError: It is not there and `offline` is set, the server cannot be reached, or the sum differs.
        StorageError: The disk is full or the folder cannot be written.
    """
    if to.is_file():
        return to
    if offline:
        raise DataError(
            f"{to} is missing and --offline forbids to download it. Put the file there yourself (from {url}), "
            "or run the same command without --offline."
        )
    if not url.startswith(("http://", "https://")):
        raise DataError(f"{url} is not an http or https address.")
    part = to.with_name(to.name + ".part")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part)
        found = _sha256(part)
        if found != sha256.lower():
            part.unlink()
            raise DataError(
                f"{url} has the SHA-256 sum {found}, but {sha256} is needed: it was damaged on the way or replaced. "
                f"It was removed; run the same command to try again, or put the right file at {to}."
            )
        part.replace(to)
    except OSError as error:
        full = " The disk is full." if error.errno == errno.ENOSPC else ""
        raise StorageError(
            f"Cannot write {to} ({cause(error)}).{full} Free space, or choose another folder: "
            "export ORGANZA_CACHE=DIR, or for data --cache DIR"
        ) from error
    return to


def _download(url: str, part: Path) -> None:
    """Fill `part`, continuing what is there; a broken connection is taken up again."""
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            if _receive(url, part):
                return
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"the server answered {error.code} {error.reason}"
            if error.code == 416 and part.exists():  # nothing left to send: whole, or not of this file
                return
            if error.code < 500:
                break
        except urllib.error.URLError as error:
            reason = str(error.reason)
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
    raise DataError(
        f"Cannot download {url}: {reason}. What has arrived is kept; run the same command to continue, "
        f"or put the file at {part.with_suffix('')} yourself."
    )


def _receive(url: str, part: Path) -> bool:
    """One request. Returns whether everything the server announced has arrived."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "organza"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        start = have if resumed else 0
        announced = answer.headers.get("Content-Length")
        total = start + int(announced) if announced else 0
        with part.open("ab" if resumed else "wb") as file, progress(f"Downloading {url}", total=total) as advance:
            advance(start)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                advance(len(chunk))
    return not total or part.stat().st_size >= total


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
