"""A lived-in workspace for the screens' tests: jobs in every state, with names that try to break out."""

from datetime import timedelta

from services import events
from services.core.states import JobStatus
from services.core.times import now
from services.store.rows import Event, Experiment, Fact, Job
from services.studio import Scope

HOSTILE = "<img src=x onerror=alert(1)>**bold** [link](javascript:alert(1)) :red[x] $a$"
METRICS = 3


def jobs(scope: Scope, count: int = 60) -> list[Job]:
    """`count` jobs over three experiments, newest running, some failed, one with a hostile name."""
    experiments = [_experiment(scope, name) for name in ("digits", "wine-quality", "Default")]
    made = [_job(scope, place, experiments[place % 3]) for place in range(count)]
    made[3].display_name = HOSTILE
    made[3].description = HOSTILE
    made[3].tags = {"<b>": HOSTILE}
    scope.session.add_all(made)
    return made


def facts(scope: Scope, kind: str = "docker") -> None:
    scope.session.merge(Fact(name="worker", value={"pid": 1}, at=now() + timedelta(days=1)))
    scope.session.merge(
        Fact(
            name="engine",
            value={"kind": kind, "state": "ok", "cpus": 8, "memory": 16 << 30, "version": "27.1", "name": "local"},
        )
    )


def _experiment(scope: Scope, name: str) -> Experiment:
    row = Experiment(workspace_id=scope.workspace_id, name=name, created_by="ada")
    scope.session.add(row)
    scope.session.flush()
    return row


def _job(scope: Scope, place: int, experiment: Experiment) -> Job:
    status = [
        JobStatus.Running,
        JobStatus.Queued,
        JobStatus.Completed,
        JobStatus.Failed,
        JobStatus.Completed,
        JobStatus.Canceled,
    ][place % 6 if place > 2 else place]
    created = now() - timedelta(minutes=7 * place + 1)
    started = None if status == JobStatus.Queued else created + timedelta(seconds=4)
    over = status in {JobStatus.Completed, JobStatus.Failed, JobStatus.Canceled}
    name = f"{['brave', 'calm', 'quick'][place % 3]}_{['lemon', 'otter', 'wheel'][place // 3 % 3]}_{place:06d}"
    job = Job(
        workspace_id=scope.workspace_id,
        name=name,
        display_name=f"train {experiment.name} {place}",
        experiment_id=experiment.id,
        experiment_name=experiment.name,
        status=status,
        created_by=["ada", "ben"][place % 2],
        created_at=created,
        started_at=started,
        finished_at=started + timedelta(seconds=40 + place * 3) if over and started else None,
        collected_at=now() if over else None,
        exit_code=1 if status == JobStatus.Failed else 0 if over else None,
        message="The command ended with exit code 1." if status == JobStatus.Failed else "",
        reason="Waiting for the worker" if status == JobStatus.Queued else "",
        tags={"model": ["svc", "forest"][place % 2], "seed": str(place)},
        spec={
            "command": "python train.py --rate ${{inputs.rate}} --out ${{outputs.model}}",
            "code": "./src",
            "environment": "azureml:sklearn-1.5:3",
            "inputs": {
                "rate": 0.01,
                "data": {"type": "uri_folder", "path": "azureml://datastores/workspaceblobstore/paths/digits"},
            },
            "outputs": {"model": {"type": "uri_folder"}},
            "environment_variables": {"EPOCHS": "20"},
        },
        source="command: python train.py\nenvironment: azureml:sklearn-1.5:3\n",
        resolved={
            "image": "atelier/lab/sklearn:1f2e3d",
            "outputs": {
                "model": {
                    "type": "uri_folder",
                    "path": "azureml://datastores/workspaceblobstore/paths/azureml/x/model/",
                }
            },
        },
        compute="",
        run_id=f"{place:032x}",
    )
    for word, after in (
        ("was submitted", 0),
        ("Preparing: Making the image ready", 1),
        ("Starting", 3),
        ("Running", 4),
    ):
        if word == "was submitted" or started:
            message = f"Job '{name}' was submitted" if word == "was submitted" else f"Job is {word}"
            reason = word.partition(": ")[2]
            scope.session.add(
                Event(
                    principal=job.created_by,
                    workspace_id=scope.workspace_id,
                    kind="job",
                    name=name,
                    message=message,
                    reason=reason,
                    at=created + timedelta(seconds=after),
                )
            )
    if over and job.finished_at:
        scope.session.add(
            Event(
                principal="atelier",
                workspace_id=scope.workspace_id,
                kind="job",
                name=name,
                message=f"Job is {status}",
                at=job.finished_at,
            )
        )
    return job


__all__ = ["HOSTILE", "events", "facts", "jobs"]


LOG = (
    "\n".join(
        [
            "Loading digits: 1797 images of 8×8",
            "\x1b[1mTraining\x1b[0m with \x1b[36mlearning_rate=0.01\x1b[0m",
            *(
                f"epoch {epoch:>3}  loss \x1b[33m{2.3 / (epoch + 1):.4f}\x1b[0m"
                f"  accuracy \x1b[32m{1 - 0.5 / (epoch + 1):.4f}\x1b[0m"
                for epoch in range(120)
            ),
            "downloading  10%\rdownloading  60%\rdownloading 100%",
            "<script>alert(1)</script> \x1b]0;title\x07\x1b[31mwarning:\x1b[0m done & dusted",
        ]
    )
    + "\n"
)
CODE = '"""Trains a small model."""\n\nimport mlflow\n\n\ndef main() -> None:\n    mlflow.log_param("rate", 0.01)\n'


def files(scope: Scope, job: Job) -> None:
    """A log, an output, a picture and a snapshot for one job, as the worker would have left them."""
    run = scope.studio.folders.run(job.id)
    for path, content in {
        "user_logs/std_log.txt": LOG,
        "system_logs/execution.txt": "container started\n",
        "outputs/report/summary.json": '{"accuracy": 0.974}\n',
        "outputs/<b>x</b>.md": HOSTILE,
    }.items():
        (run / path).parent.mkdir(parents=True, exist_ok=True)
        (run / path).write_text(content, encoding="utf-8")
    job.snapshot_id = f"{int(job.run_id or '0', 16):064x}"
    code = scope.studio.folders.snapshot(job.workspace_id, job.snapshot_id)
    (code / "lib").mkdir(parents=True, exist_ok=True)
    (code / "train.py").write_text(CODE, encoding="utf-8")
    (code / "lib" / "data.py").write_text("DATA = 1\n", encoding="utf-8")
    scope.session.add(job)
