"""What a build is made from and with: one comparison, for resuming and for joining."""

from collections.abc import Collection, Mapping

from mol_pipeline.contract.manifest import Manifest, Part, Record

NAMES = {
    "database": "the database",
    "config_hash": "the settings",
    "source_fingerprint": "the source files or their annotation",
    "annotation_sha256": "the annotation file",
    "landmark_model_sha256": "the landmark model",
    "versions": "the versions of the programs",
    "part": "the part",
}
"""Field -> what it is called in a message."""


class BuildState(Record):
    """Everything that must be equal for two runs to work on one build."""

    database: str
    config_hash: str
    source_fingerprint: str
    annotation_sha256: str | None
    landmark_model_sha256: str
    versions: dict[str, str]
    part: Part | None = None

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> "BuildState":
        """State of the build that wrote a manifest."""
        provenance = manifest.provenance
        return cls(
            database=manifest.database,
            config_hash=manifest.config_hash,
            source_fingerprint=provenance.source_fingerprint,
            annotation_sha256=provenance.annotation_sha256,
            landmark_model_sha256=provenance.landmark_model_sha256,
            versions=provenance.versions,
            part=manifest.part,
        )

    def differences(self, other: "BuildState", *, apart_from: Collection[str] = ()) -> list[str]:
        """What differs, in words for a message; the fields `apart_from` may differ."""
        different = [
            name
            for name in NAMES
            if name not in apart_from and getattr(self, name) != getattr(other, name)
        ]
        return [
            f"{NAMES[name]} ({_other_versions(self.versions, other.versions)})"
            if name == "versions"
            else NAMES[name]
            for name in different
        ]


def _other_versions(mine: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """`numpy 1.26.4 / 2.1.0`, for each that differs."""
    names = sorted(
        name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)
    )
    return ", ".join(
        f"{name} {mine.get(name, 'absent')} / {theirs.get(name, 'absent')}" for name in names
    )
