"""What to say when a gated repository of the hub cannot be downloaded; apart from `origins`, which needs no hub client."""

from scalebio.origins import Hub


def way_in(hub: Hub) -> str:
    """What a message about a failed download says besides, if the repository is gated: with a token here, or without."""
    if not hub.gated:
        return ""
    from huggingface_hub import get_token

    found = "the account of the token here may lack that" if get_token() else "there is no token here"
    return (
        f" `{hub.id}` is gated, and {found}: accept its conditions on the hub, then set HF_TOKEN in the environment of the "
        "machine that downloads (on a cluster the login node)."
    )
