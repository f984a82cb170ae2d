"""Lock files that show other processes that their holder is alive. A lock file exists as long as it is held.

POSIX: flock on a descriptor of our own. filelock is used on Windows only: before version 4 a forked child that releases
a lock unlocks it for its parent, and no version exposes the locked file, which could therefore not be removed safely.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from weakref import finalize

from kling_adapters.forks import reset_in_children

if sys.platform == "win32":
    from filelock import FileLock, Timeout
else:
    import fcntl


class LockFile:
    """A lock on a file, held until `release`, the end of the process, or the deletion of this object.

    Call `acquire`, and `remove_if_free` for the same path, within a transaction of the journal only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hold: finalize[..., LockFile] | None = None
        self._descriptor = -1
        reset_in_children(self)

    def acquire(self) -> bool:
        """Create and lock the file. Return False if it is locked already. Raises OSError."""
        if sys.platform == "win32":
            lock = FileLock(self._path, thread_local=False)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                return False
            self._hold = finalize(self, _release_windows, lock, self._path)
            return True
        # A file that its holder has just removed excludes no other process.
        while (descriptor := _lock(self._path, os.O_RDWR | os.O_CREAT)) is not None:
            if _is_at(self._path, descriptor):
                # Also called when the interpreter exits.
                self._hold = finalize(self, _remove, self._path, descriptor)
                self._descriptor = descriptor
                return True
            os.close(descriptor)
        return False

    def release(self) -> None:
        """Remove the file and unlock it, unless the lock is not held, or is held by the parent process."""
        if self._hold is not None:
            self._hold()

    def reset_after_fork(self) -> None:
        """Close the descriptor of the parent, whose lock it remains."""
        if self._hold is not None and self._hold.detach():
            # Not LOCK_UN: the descriptors of both processes share one lock.
            os.close(self._descriptor)


def remove_if_free(path: Path) -> bool:
    """Remove a lock file that no process holds. Return whether the file is gone. Raises OSError."""
    if sys.platform == "win32":
        lock = LockFile(path)
        is_free = not path.exists() or lock.acquire()
        lock.release()
        return is_free
    try:
        descriptor = _lock(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    except PermissionError:
        # It belongs to another user, who may be holding it.
        return False
    if descriptor is None:
        return False
    _remove(path, descriptor)
    return True


if sys.platform == "win32":

    def _release_windows(lock: FileLock, path: Path) -> None:
        lock.release()
        with suppress(OSError):
            path.unlink()

else:

    def _lock(path: Path, flags: int) -> int | None:
        """Return a descriptor that holds the lock on the file; None if the file is locked."""
        # A pipe at this path would block otherwise.
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _is_at(path: Path, descriptor: int) -> bool:
        try:
            return os.path.samestat(path.stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _remove(path: Path, descriptor: int) -> None:
        try:
            # Removed while locked: a process that waits for the lock then finds another file, or none, at the path.
            with suppress(OSError):
                if _is_at(path, descriptor):
                    path.unlink()
        finally:
            os.close(descriptor)
