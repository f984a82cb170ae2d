"""The parts `files` and `generations` of the official client."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from kling_adapters.compat.segmind.compatible_kling import CompatibleKling
from kling_adapters.compat.segmind.exceptions import SegmindError, translate_errors
from kling_adapters.compat.segmind.other_products import OtherProduct
from kling_adapters.media.inputs import check_media
from kling_adapters.media.reader import MediaError


class Files:
    """Uploads."""

    def __init__(self, kling: CompatibleKling) -> None:
        self._kling = kling

    def upload(self, file_paths: str | PathLike[str] | Sequence[str | PathLike[str]]) -> dict[str, Any]:
        """Upload one or more media files; equal content is uploaded once in six days.

        A parameter of a model takes a Path itself, so that few programs need this call.

        Args:
            file_paths: A path, or a list of them.

        Returns:
            `file_urls`, one for each path, and a `message`.

        Raises:
            FileNotFoundError: A path does not exist. Nothing was sent.
            ValueError: A path is not a media file that models take. Nothing was sent.
            SegmindError: The gateway refused an upload.

        """
        paths = [Path(file_paths)] if isinstance(file_paths, str | PathLike) else [*map(Path, file_paths)]
        if not paths:
            raise SegmindError(400, "file_paths is empty; expected one path or more. Nothing was sent")
        for path in paths:
            _check_path(path)
        with translate_errors():
            urls = [self._kling.upload(path) for path in paths]
        return {"file_urls": urls, "message": "Files uploaded successfully"}


class Generations:
    """The request history of the account."""

    list = OtherProduct("generations.list", "generations")
    recent = OtherProduct("generations.recent", "generations")

    def __init__(self, kling: CompatibleKling) -> None:
        self._kling = kling

    def history(
        self,
        page: int = 1,
        per_page: int = 20,
        from_date: str | None = None,
        to_date: str | None = None,
        model_name: str | None = None,
        status: str | None = None,
        user_id: str | None = None,
        user_email: str | None = None,
        sort_by: str | None = None,
        sort_order: str | None = None,
    ) -> dict[str, Any]:
        """List requests with their cost, inputs and outcome.

        Args:
            page: The number of the page, from 1.
            per_page: Rows of a page, at most 100.
            from_date: The first day as YYYY-MM-DD; by default a week ago.
            to_date: The last day, included; by default today. 31 days at most.
            model_name: A part of the slugs of the models.
            status: COMPLETED, FAILED or PENDING.
            user_id: The id of a member of the team.
            user_email: The address of a member of the team.
            sort_by: model_created, model_name or credits_deduction.
            sort_order: desc or asc.

        Returns:
            The page, as the gateway answers it.

        Raises:
            SegmindError: The gateway refused the request, or the history is turned off.

        """
        filters = {
            "from_date": from_date,
            "to_date": to_date,
            "model_name": model_name,
            "status": status,
            "user_id": user_id,
            "user_email": user_email,
            "sort_by": sort_by,
            "sort_order": sort_order,
        }
        used = {name: value for name, value in filters.items() if value}
        with translate_errors():
            return self._kling.read_history(page=page, per_page=per_page, **used)

    def get(self, request_id: str) -> dict[str, Any]:
        """Return one request of the account, of any age, as a row of `history`."""
        with translate_errors():
            return self._kling.read_history(request_id)


def _check_path(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"File not found: {path}. Nothing was sent")
    if not path.is_file():
        raise ValueError(f"Path is not a file: {path}. Nothing was sent")
    try:
        check_media(path)
    except MediaError as error:
        raise ValueError(f"{path} is {error}. Nothing was sent") from error
