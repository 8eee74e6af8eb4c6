"""What things look like everywhere: one icon a noun, one tone and one wording a status."""

from services.core.states import JobStatus

ICONS = {
    "home": "home",
    "workspace": "layers",
    "job": "play_circle",
    "experiment": "science",
    "environment": "deployed_code",
    "compute": "memory",
    "file": "draft",
    "folder": "folder",
    "code": "code",
    "metric": "monitoring",
    "log": "terminal",
}

TONES = {
    JobStatus.NotStarted: "gray",
    JobStatus.Queued: "gray",
    JobStatus.Preparing: "violet",
    JobStatus.Provisioning: "violet",
    JobStatus.Starting: "violet",
    JobStatus.Running: "blue",
    JobStatus.Finalizing: "blue",
    JobStatus.Completed: "green",
    JobStatus.Failed: "red",
    JobStatus.CancelRequested: "orange",
    JobStatus.Canceled: "gray",
    JobStatus.NotResponding: "orange",
    JobStatus.Paused: "gray",
}
_OTHER = {
    "Succeeded": "green",
    "Building": "blue",
    "Ready": "green",
    "Creating": "blue",
    "Deleting": "orange",
    "Healthy": "green",
    "Updating": "blue",
    "Asleep": "violet",
    "Unhealthy": "orange",
    "Draining": "orange",
    "RolledBack": "orange",
}
_MOVING = frozenset(
    {
        "Running",
        "Preparing",
        "Provisioning",
        "Starting",
        "Finalizing",
        "CancelRequested",
        "Building",
        "Creating",
        "Updating",
        "Deleting",
        "Draining",
    }
)
_LABELS = {
    "NotStarted": "Not started",
    "CancelRequested": "Cancel requested",
    "NotResponding": "Not responding",
    "RolledBack": "Rolled back",
}


def tone(status: str) -> str:
    """The colour name of a status word."""
    if status in JobStatus.__members__:
        return TONES[JobStatus(status)]
    return _OTHER.get(status, "gray")


def label(status: str) -> str:
    """As the cloud's studio writes it: `Not started`."""
    return _LABELS.get(str(status), str(status))


def is_moving(status: str) -> bool:
    """Whether its dot pulses."""
    return status in _MOVING
