"""URLs of the files that a client has uploaded."""

from __future__ import annotations

from kling_adapters.forks import ForkSafeLock, reset_in_children


class Uploads:
    """Cache of upload URLs by digest, and the uploads in progress. Thread-safe."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._urls: dict[str, tuple[str, float]] = {}
        self._in_progress: set[str] = set()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Forget the uploads in progress: they never end in a forked child."""
        self._in_progress = set()

    def begin(self, sha256: str) -> bool:
        """Claim the upload of a file until `end`. Return whether no other flow is uploading it."""
        with self._lock:
            is_free = sha256 not in self._in_progress
            self._in_progress.add(sha256)
        return is_free

    def end(self, sha256: str) -> None:
        """Release the upload of a file."""
        with self._lock:
            self._in_progress.discard(sha256)

    def find(self, sha256: str, since: float) -> str | None:
        """Return the URL of a file that was uploaded after the time `since`, in seconds."""
        url, uploaded = self._urls.get(sha256, (None, 0.0))
        return url if uploaded > since else None

    def keep(self, sha256: str, url: str, now: float) -> None:
        """Store the URL of a file, uploaded at the time `now`, in seconds."""
        self._urls[sha256] = url, now
