"""A script with MLflow and nothing of ours: logs a run with children, images and a table, then says how it is marked.

Each line on standard input asks once more for the tags of the run; they are written as JSON.
"""

import json
import sys

import mlflow
import numpy as np
from mlflow import MlflowClient

hostile = sys.argv[1]
mlflow.set_experiment("plain")
with mlflow.start_run(run_name=f"plain {hostile}", description=f"## Tried\n\n**bold** {hostile}") as run:
    mlflow.log_params({"rate": 0.1, "optimizer": hostile})
    mlflow.set_tag("hostile", hostile)
    for step in range(20):
        mlflow.log_metrics({"loss": 1 / (step + 1), "val/accuracy": 1 - 0.5 / (step + 1)}, step=step)
    for step in (0, 5):
        mlflow.log_image(np.full((8, 8, 3), 40 * step, np.uint8), key="val/square", step=step)
    mlflow.log_table({"prompt": [hostile, "plain"], "score": [0.25, 1.5]}, "answers.json")
    mlflow.log_text(hostile, f"notes/{hostile.replace('/', '')[:40]}.txt")
    for trial in range(2):
        with mlflow.start_run(run_name=f"trial {trial} {hostile}", nested=True):
            mlflow.log_metric("loss", 0.5 - trial / 10)
print(json.dumps(run.info.run_id), flush=True)
for _ in sys.stdin:
    print(json.dumps(MlflowClient().get_run(run.info.run_id).data.tags), flush=True)
