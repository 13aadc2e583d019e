"""The files of a folder or of a zip, by relative name; a zip is read in place and nothing is ever extracted."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, BinaryIO, final

from organza.errors import DataError, cause

MAX_FILE = 2**30
MAX_MEMBERS = 20_000_000
MAX_RATIO = 200
BOMB_FLOOR = 2**28
"""Archives or members that unpack to less than this are harmless whatever their ratio."""


class Files(ABC):
    """Named files that may hold images. Sent to another process, it can still open them, but no longer lists them."""

    path: Path
    """As it was given, for messages."""
    home: Path
    """The same from anywhere: files are opened later, and the current folder may be another then."""
    names: list[str]
    """Readable files, sorted, with / between folders."""
    bad: dict[str, str]
    """Entries that cannot be read, with the reason."""
    ignored: dict[str, str]
    """Entries that are passed over, with the reason; they are no fault of the data set."""
    stamp: list[object]
    """Changes whenever a file does (by size and time)."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Open one file for reading."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"names": [], "stamp": []}


def open_files(path: Path) -> Files:
    """The files under a folder, or in a zip."""
    return FolderFiles(path) if path.is_dir() else ZipFiles(path)


@final
class FolderFiles(Files):
    """A folder and its sub-folders. Symbolic links are followed, but no folder is entered twice."""

    def __init__(self, path: Path) -> None:
        self.path, self.home = path, path.absolute()
        self.names = []
        self.bad = {}
        self.ignored = {}
        self.stamp = [str(path.resolve())]
        self._walk()
        self.names.sort()
        self.stamp.sort(key=str)

    def open(self, name: str) -> BinaryIO:
        """Open one file for reading."""
        return (self.home / name).open("rb")

    def close(self) -> None:
        """Nothing stays open."""

    def _walk(self) -> None:
        # Real folders before linked ones: a folder is then known by its own name, not by that of a link to it.
        entered: set[tuple[int, int]] = set()
        real, linked = [""], []
        while real or linked:
            folder = real.pop() if real else linked.pop()
            try:
                status = (self.path / folder).stat()
                if (status.st_dev, status.st_ino) in entered:
                    self.ignored[folder] = "a link to a folder that is read already"
                    continue
                entered.add((status.st_dev, status.st_ino))
                entries = sorted(os.scandir(self.path / folder), key=lambda entry: entry.name)
            except OSError as error:
                self.bad[folder or "."] = f"cannot be opened ({cause(error)})"
                continue
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                self._sort_in(entry, name, real=real, linked=linked)

    def _sort_in(self, entry: os.DirEntry[str], name: str, *, real: list[str], linked: list[str]) -> None:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            self.ignored[name] = "hidden"
            return
        try:
            name.encode()
            status = entry.stat()
        except UnicodeEncodeError:
            self.bad[name.encode(errors="replace").decode()] = "a name that is not UTF-8; rename it"
        except OSError as error:
            why = "a symbolic link that leads nowhere or round in circles" if entry.is_symlink() else cause(error)
            self.bad[name] = why
        else:
            if stat.S_ISDIR(status.st_mode):
                (linked if entry.is_symlink() else real).append(name)
            elif not stat.S_ISREG(status.st_mode):
                self.bad[name] = "neither a file nor a folder (a pipe, a socket or a device)"
            else:
                self.names.append(name)
                self.stamp.append([name, status.st_size, status.st_mtime_ns])


@final
class ZipFiles(Files):
    """The members of a zip. An archive built to harm is refused: names that leave it, names twice, a zip bomb."""

    def __init__(self, path: Path) -> None:
        self.path, self.home = path, path.absolute()
        self.names = []
        self.bad = {}
        self.ignored = {}
        status = path.stat()
        self.stamp = [str(path.resolve()), status.st_size, status.st_mtime_ns]
        self._archive: zipfile.ZipFile | None = None
        try:
            members = examine(self.archive, path)
        except DataError:
            self.close()
            raise
        for member in members:
            self._sort_in(member)
        self.names.sort()

    @property
    def archive(self) -> zipfile.ZipFile:
        """The open archive; each process opens its own."""
        if self._archive is None:
            try:
                self._archive = zipfile.ZipFile(self.home)
            except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
                raise DataError(f"{self.path} cannot be read as a zip ({error}). Make the archive again.") from error
        return self._archive

    def open(self, name: str) -> BinaryIO:
        """Unpack one member into memory."""
        return io.BytesIO(self.archive.read(name))

    def close(self) -> None:
        """Close the archive."""
        if self._archive is not None:
            self._archive.close()
            self._archive = None

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_archive": None}

    def _sort_in(self, member: zipfile.ZipInfo) -> None:
        parts = member.filename.split("/")
        if member.is_dir():
            return
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):
            self.ignored[member.filename] = "hidden"
        elif stat.S_ISLNK(member.external_attr >> 16):
            self.bad[member.filename] = "a symbolic link inside the archive"
        elif member.flag_bits & 1:
            self.bad[member.filename] = "encrypted"
        elif member.file_size > MAX_FILE or is_bomb(member.file_size, member.compress_size):
            self.bad[member.filename] = f"unpacks from {member.compress_size:,} to {member.file_size:,} bytes"
        else:
            self.names.append(member.filename)


def is_bomb(unpacked: int, packed: int) -> bool:
    """Whether so many bytes from so few are a threat rather than good compression."""
    return unpacked > BOMB_FLOOR and unpacked > MAX_RATIO * packed


def examine(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    """The members of an archive that passes for honest, by its directory alone."""
    members = archive.infolist()
    found = ""
    if len(members) > MAX_MEMBERS:
        found = f"it has {len(members):,} members, more than {MAX_MEMBERS:,}"
    elif is_bomb(sum(member.file_size for member in members), path.stat().st_size):
        found = f"it unpacks to more than {MAX_RATIO} times its size"
    names: set[str] = set()
    for member in members:
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
            found = f"the member {member.filename!r} points outside the archive"
        elif name in names:
            found = f"the member {member.filename!r} is there twice"
        names.add(name)
    if found:
        raise DataError(f"{path} is refused: {found}. Make a plain zip of the images again.")
    return members
