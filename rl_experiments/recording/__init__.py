"""Recording: frames of episodes as videos."""

from rl_experiments.recording.filming import record_videos
from rl_experiments.recording.pictures import try_frame
from rl_experiments.recording.recorder import Recording, record
from rl_experiments.recording.video import RecordingError

__all__ = ["Recording", "RecordingError", "record", "record_videos", "try_frame"]
