"""Names on disk and on the Hub."""

from __future__ import annotations

from rl_experiments.core.errors import ConfigurationError


def folder_name(env_id: str) -> str:
    """
    The environment id as it appears in file, folder and repository names.

    A ``module:`` prefix goes, and ``/`` becomes ``-``: ``ALE/Pong-v5`` is ``ALE-Pong-v5``.

    :raises ConfigurationError: if the id could not be a name (empty, more than one colon, or a path)
    """
    module, colon, name = env_id.rpartition(":")
    result = name.replace("/", "-")
    if not result or ":" in module or (colon and not module) or result.startswith(".") or "\\" in result:
        raise ConfigurationError(
            f"'{env_id}' is no environment id. Expected 'Name-v0', 'namespace/Name-v0' or 'module:Name-v0'."
        )
    return result


def model_name(algorithm: str, env_id: str) -> str:
    """:return: the name of a model on the Hub, ``<algo>-<env>``"""
    return f"{algorithm}-{folder_name(env_id)}"
