"""
Replays for a browser: the poses of an episode in one HTML file that needs nothing else, and no network.

- ``poses``: playing an episode and keeping where its bodies were
- ``page``: the file, and reading it again
- ``training``: one page of the agents of all checkpoints
- ``viewer.js``, ``viewer.css``: what stands in the file and draws
"""

from rl_experiments.recording.replays.page import ReplayPage, read_replays, record_page, write_replays
from rl_experiments.recording.replays.poses import Replay, play_replay

__all__ = ["Replay", "ReplayPage", "play_replay", "read_replays", "record_page", "write_replays"]
