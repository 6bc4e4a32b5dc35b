"""Switches directories from one result to another, at once or step by step."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.manifest import with_files
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.switch import Switch


def switch_steps(
    directory: OutputDirectory,
    files: Mapping[str, Sequence[Path]],
    batch_ids: Sequence[str] = ("batch_1",),
    switch: Switch | None = None,
) -> Iterator[Manifest | None]:
    """Begin to land files as the result of some batches."""
    switch = switch or Switch(directory, token_hex(8), directory.manifest_bytes(), lambda seconds: None)
    manifest = Manifest(batch_ids=list(batch_ids))
    return switch.steps(files, lambda uris: with_files(manifest, uris))


def publish(folder: Path | str, **files: Sequence[Path] | bytes) -> Manifest:
    """Land files, given as local files or as content, with `_` for the dot of their names."""
    with TemporaryDirectory() as name:
        held: dict[str, Sequence[Path]] = {}
        for field, content in files.items():
            if isinstance(content, bytes):
                path = Path(name) / field
                path.write_bytes(content)
                content = [path]
            held[".".join(field.rsplit("_", 1))] = content
        *_, manifest = switch_steps(OutputDirectory(str(folder)), held)
    assert manifest is not None
    return manifest
