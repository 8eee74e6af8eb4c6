"""Status words, literally the cloud's, and the moves allowed between them."""

from enum import StrEnum


class JobStatus(StrEnum):
    """Name equals value, because SQLModel stores the name."""

    NotStarted = "NotStarted"
    Queued = "Queued"
    Preparing = "Preparing"
    Provisioning = "Provisioning"
    Starting = "Starting"
    Running = "Running"
    Finalizing = "Finalizing"
    Completed = "Completed"
    Failed = "Failed"
    CancelRequested = "CancelRequested"
    Canceled = "Canceled"
    NotResponding = "NotResponding"
    Paused = "Paused"


TERMINAL = frozenset({JobStatus.Completed, JobStatus.Failed, JobStatus.Canceled})
ACTIVE = frozenset(JobStatus) - TERMINAL

_ENDS = frozenset({JobStatus.Failed, JobStatus.CancelRequested, JobStatus.Canceled, JobStatus.Finalizing})

# Preparing = inputs, code and image are made ready; Provisioning = waiting for a place to run;
# Starting = the container is being created; Finalizing = outputs and logs are collected.
NEXT: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.NotStarted: _ENDS | {JobStatus.Queued},
    JobStatus.Queued: _ENDS | {JobStatus.Preparing, JobStatus.Paused},
    JobStatus.Preparing: _ENDS | {JobStatus.Queued, JobStatus.Provisioning, JobStatus.Starting},
    JobStatus.Provisioning: _ENDS | {JobStatus.Queued, JobStatus.Preparing, JobStatus.Starting},
    JobStatus.Starting: _ENDS | {JobStatus.Queued, JobStatus.Running, JobStatus.NotResponding},
    JobStatus.Running: _ENDS | {JobStatus.NotResponding, JobStatus.Queued},
    JobStatus.NotResponding: _ENDS | {JobStatus.Starting, JobStatus.Running, JobStatus.Queued},
    JobStatus.Finalizing: frozenset({JobStatus.Completed, JobStatus.Failed, JobStatus.Canceled}),
    JobStatus.CancelRequested: frozenset({JobStatus.Finalizing, JobStatus.Canceled, JobStatus.Failed}),
    JobStatus.Paused: _ENDS | {JobStatus.Queued},
    JobStatus.Completed: frozenset(),
    JobStatus.Failed: frozenset(),
    JobStatus.Canceled: frozenset(),
}


class AssetKind(StrEnum):
    """What a workspace keeps by name and version."""

    data = "data"
    environment = "environment"
    component = "component"
    model = "model"


class ProvisioningState(StrEnum):
    Creating = "Creating"
    Updating = "Updating"
    Succeeded = "Succeeded"
    Failed = "Failed"
    Deleting = "Deleting"
    Canceled = "Canceled"


class ReplicaState(StrEnum):
    """Of one container of a deployment."""

    Creating = "Creating"
    Starting = "Starting"
    Ready = "Ready"
    Unhealthy = "Unhealthy"
    Draining = "Draining"
    Failed = "Failed"
    Gone = "Gone"


class RolloutState(StrEnum):
    Running = "Running"
    Succeeded = "Succeeded"
    RolledBack = "RolledBack"
    Canceled = "Canceled"
