"""Writes the recap's files: `summary.json`, three tables, one page.

Each file is complete or as it was before: written beside its name, flushed to disk, then renamed over it.
"""

import os
import tempfile
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stream.errors import OperatorError
from stream.recap import Recap, summary
from stream.recap_csv import minutes_csv, products_csv, prompts_csv
from stream.recap_page import page

CHINA_S = 8 * 3600  # the whole country's time, without summer time: what a show sold in yuan is read in
UTF8_MARK = b"\xef\xbb\xbf"  # without it Excel opens Chinese as mojibake


def files(recap: Recap, language: str, zone: str = "") -> dict[str, bytes]:
    """Every file of the recap by name. Raises OperatorError for a zone or language there is not."""
    offset = utc_offset_s(recap, zone)
    try:
        html = page(recap, language, offset)
    except ValueError as error:
        raise OperatorError(f"{error}; set LIVEROOM_LANGUAGE to zh or en") from None
    texts = {"summary.json": summary(recap), "recap.html": html}
    tables = {
        "minutes.csv": minutes_csv(recap, offset),
        "products.csv": products_csv(recap, offset),
        "prompts.csv": prompts_csv(recap, offset),
    }
    return {name: _bytes(text) for name, text in texts.items()} | {
        name: UTF8_MARK + _bytes(text) for name, text in tables.items()
    }


def write(recap: Recap, out_dir: str | Path, language: str, zone: str = "") -> list[Path]:
    """The recap's files in `out_dir`, which is made if absent; their paths, the page last.

    `zone` is a name such as Asia/Shanghai; without one a show in CNY is in China's time and any other in UTC.
    Raises OperatorError where the directory cannot be written.
    """
    made = files(recap, language, zone)
    folder = Path(out_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in made.items():
            _replace(folder / name, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OperatorError(f"cannot write the recap to {folder}: {reason}; name a directory you may write") from None
    return sorted((folder / name for name in made), key=lambda path: path.suffix == ".html")


def utc_offset_s(recap: Recap, zone: str = "") -> int:
    """Seconds east of Greenwich where the show is read, at its start. Raises OperatorError for an unknown zone."""
    if not zone:
        return CHINA_S if recap.currency == "CNY" else 0
    try:
        offset = datetime.fromtimestamp(recap.show_ms / 1000, ZoneInfo(zone)).utcoffset()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise OperatorError(f"there is no time zone {zone!r}; name one such as Asia/Shanghai") from None
    return int(offset.total_seconds()) if offset else 0


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp makes it the owner's alone; a recap is there to be passed on
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
