"""The upload to the Hugging Face hub. Start with `upload`."""

from __future__ import annotations

import re
from pathlib import Path

from moo.sharing.folder import NETWORKS
from moo.storage.adaptive_front import FOLDER
from search_space.boundary.text import command_line, reason_of, shown

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_REPO = re.compile(rf"{_PART}/{_PART}")
OLD_FILES = tuple(
    f"{NETWORKS}/*/{name}"
    for name in (
        "architecture.json", "weights.safetensors", "model*.onnx", "model*.tflite", "card.md", "curves.png",
        f"{FOLDER}/adaptive.json", f"{FOLDER}/run*.py", f"{FOLDER}/segment_*.onnx",
        f"{FOLDER}/segment_*.tflite",
    )
)  # fmt: skip
"""Patterns of files that an earlier upload brought: those that are not brought again are removed."""
MESSAGE = "Pareto front by push_front.py"


def check_repo(repo: str) -> str:
    """Check the name of a repository.

    Raises:
        ValueError: if it is not `user/name`.
    """
    if _REPO.fullmatch(repo) is None or "--" in repo or ".." in repo:
        raise ValueError(
            f"`--repo` must be user/name of letters, digits, `-`, `_` and `.`, but got {shown(repo)}: "
            "anna/photos-front, for example."
        )
    return repo


def upload_command(repo: str, folder: Path, *, private: bool) -> str:
    """The command line that uploads a folder, as `upload` does."""
    words = ["hf", "upload", repo, str(folder), ".", "--commit-message", MESSAGE]
    deleted = [word for pattern in OLD_FILES for word in ("--delete", pattern)]
    return command_line([*words, *(["--private"] if private else []), *deleted])


def upload(repo: str, folder: Path, *, private: bool) -> str:
    """Bring a folder to the hub in one commit; files of networks that are not on the front any more go.

    Args:
        repo: `user/name`; it is made if it is not there.
        folder: that `write_folder` wrote.
        private: whether nobody else may see it.

    Returns:
        Its address.

    Raises:
        ValueError: if there is no network, no token, or it may not be written to.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    if get_token() is None:
        raise ValueError(
            "there must be a token of the Hugging Face hub that may write, but there is none: run `hf auth login`, or "
            "set HF_TOKEN."
        )
    # Its bases are what its HTTP library raises, which differs between versions.
    bases = [base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)]
    unreached: tuple[type[Exception], ...] = (OSError, *bases)
    api = HfApi()
    try:
        url = api.create_repo(repo, private=private or None, exist_ok=True, repo_type="model")
        if private and api.repo_info(repo).private is False:
            raise ValueError(
                f"with `--private` a repository must be private, but {repo} is there and public: make it private in "
                "its settings, or omit `--private`."
            )
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message=MESSAGE, delete_patterns=list(OLD_FILES))
    except HfHubHTTPError as error:
        raise ValueError(
            f"the hub must take the upload to {repo}, but it answered: {reason_of(error)}. Check the name, and that "
            "your token may write there (`hf auth whoami`)."
        ) from None
    except unreached as error:
        raise ValueError(
            f"the hub must be reached to upload to {repo}, but it was not: {reason_of(error)}. Check the network, and "
            "try again."
        ) from None
    return str(url)
