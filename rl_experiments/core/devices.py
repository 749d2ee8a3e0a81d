"""Where torch computes."""

from __future__ import annotations

from rl_experiments.core.errors import ConfigurationError


def check_device(device: str) -> None:
    """
    SB3 takes the CPU, without a word, where the device that was asked for is not there.

    :param device: as torch names it, or ``auto``
    :raises ConfigurationError: if nothing can be computed there
    """
    if device == "auto":
        return
    import torch

    try:
        float(torch.zeros(1, device=device))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigurationError(f"The device '{device}' is not there: {' '.join(str(error).split())[:120]}") from None
