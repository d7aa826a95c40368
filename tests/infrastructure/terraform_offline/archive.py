"""What `data "archive_file"` yields: a zip, and its digests."""

import base64
import hashlib
import zipfile
from pathlib import Path
from typing import Any

#: A zip's members bear one moment, so that the same sources make the same zip.
MOMENT = (2049, 1, 1, 0, 0, 0)


def archive_file(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes the zip to `output_path`; what is known of it then. Relative paths are relative to the folder."""
    path = folder / config["output_path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in _members(config, path, folder):
            opened.writestr(zipfile.ZipInfo(name, MOMENT), content)
    content = path.read_bytes()
    digests = {name: hashlib.new(name, content) for name in ("md5", "sha1", "sha256", "sha512")}
    return {
        "id": digests["sha1"].hexdigest(),
        "output_size": len(content),
        "output_md5": digests["md5"].hexdigest(),
        "output_sha": digests["sha1"].hexdigest(),
        "output_sha256": digests["sha256"].hexdigest(),
        "output_sha512": digests["sha512"].hexdigest(),
        "output_base64sha256": base64.b64encode(digests["sha256"].digest()).decode(),
        "output_base64sha512": base64.b64encode(digests["sha512"].digest()).decode(),
    }


def _members(config: dict[str, Any], archive: Path, folder: Path) -> list[tuple[str, bytes]]:
    members = [(each["filename"], each["content"].encode()) for each in config.get("source") or []]
    if config.get("source_content") is not None:
        members.append((config["source_content_filename"], config["source_content"].encode()))
    if config.get("source_file"):
        file = folder / config["source_file"]
        members.append((file.name, file.read_bytes()))
    if config.get("source_dir"):
        root = folder / config["source_dir"]
        excluded = set(config.get("excludes") or [])
        members += [
            (name.as_posix(), file.read_bytes())
            for file in root.rglob("*")
            for name in [file.relative_to(root)]
            if file.is_file()
            and file.resolve() != archive.resolve()
            and not excluded & {each.as_posix() for each in (name, *name.parents)}
        ]
    return sorted(members)
