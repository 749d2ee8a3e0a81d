"""Recording: frames of episodes as videos and as images."""

from rl_experiments.recording.filming import record_videos
from rl_experiments.recording.looks import Look
from rl_experiments.recording.pictures import try_frame
from rl_experiments.recording.recorder import Recording, record
from rl_experiments.recording.sequences import ImageSequence, record_frames
from rl_experiments.recording.video import RecordingError

__all__ = [
    "ImageSequence",
    "Look",
    "Recording",
    "RecordingError",
    "record",
    "record_frames",
    "record_videos",
    "try_frame",
]
