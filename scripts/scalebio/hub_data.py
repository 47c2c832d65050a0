"""Rows of a data set on the Hugging Face hub, at its pinned commit."""

from collections.abc import Iterable

from scalebio.errors import UserError
from scalebio.gated import way_in
from scalebio.origins import HubData


def rows(hub: HubData, what: str) -> tuple[Iterable[tuple[str, dict]], str]:
    """The raw rows, each after its place, and the commit they are of; `unverified` is resolved to one first.

    `what` names the asking entry of the study file in messages. Raises UserError where the data set cannot be loaded.
    """
    from datasets import load_dataset
    from huggingface_hub import HfApi

    named = f"`{hub.id}`{f', subset `{hub.subset}`' if hub.subset else ''}, split `{hub.split}`"
    print(f"{what}: loading {named} from the hub", flush=True)
    try:
        commit = hub.commit or HfApi().dataset_info(hub.id).sha
        found = load_dataset(hub.id, hub.subset, split=hub.split, revision=commit)
    except Exception as error:  # the hub's clients raise dozens of unrelated types for "it did not work"
        raise UserError(
            f"{what}: could not load {named}, at {hub.revision} from the hub ({type(error).__name__}: {error})."
            f"{way_in(hub)} Check the id, the split and the network, log in if the data set is gated, or give it a `local` file and set "
            "`offline_data` to the folder it lies in."
        ) from error
    return ((f"row {number}", row) for number, row in enumerate(found, 1)), commit
