"""One file of every kind, as somebody would write it: richer than most in the wild."""

WRITTEN = {
    "commandJob": """
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
type: command
name: train-1
display_name: Train
experiment_name: iris
description: A first try
tags: {team: vision, year: 2026, draft: true}
command: >-
  python train.py --data ${{inputs.data}} --rate ${{inputs.rate}} $[[--seed ${{inputs.seed}}]]
  > ${{outputs.report}}
environment: {image: "python:3.11", conda_file: {dependencies: ["python=3.11", {pip: [numpy]}]}}
environment_variables: {LEVEL: 3, QUIET: true}
inputs:
  data: {type: uri_folder, path: "azureml:iris@latest", mode: download}
  rate: 0.1
  seed: {type: integer, optional: true, min: 0}
outputs:
  report: {type: uri_file, path: "azureml://datastores/workspaceblobstore/paths/${{name}}/r.txt", mode: upload}
  rest:
compute: azureml:cpu-cluster
limits: {timeout: 3600}
resources: {instance_count: 1, shm_size: 2g, memory: 4g, cpus: 2}
""",
    "sweepJob": """
type: sweep
trial:
  command: python t.py --a ${{inputs.a}} --b ${{search_space.b}}
  environment: azureml:sklearn-1.5@latest
inputs: {a: 0.5}
sampling_algorithm: {type: random, seed: 7, rule: sobol}
search_space:
  b: {type: choice, values: [1, two, 3.0]}
  c: {type: uniform, min_value: 0.1, max_value: 1.0}
  d: {type: qnormal, mu: 0, sigma: 1, q: 0.5}
  e: {type: randint, upper: 9}
objective: {goal: Minimize, primary_metric: loss}
limits: {max_total_trials: 4, max_concurrent_trials: 2, timeout: 3600, trial_timeout: 60}
early_termination: {type: bandit, slack_factor: 0.1, evaluation_interval: 2, delay_evaluation: 5}
""",
    "pipelineJob": """
type: pipeline
experiment_name: flow
inputs: {words: hello, where: cpu-cluster}
outputs: {model: {mode: upload}}
settings: {default_compute: "azureml:cpu", default_datestore: "azureml:x", continue_on_step_failure: false}
jobs:
  a:
    command: echo ${{inputs.text}} > ${{outputs.out}}/a.txt
    environment: {image: "python:3.11"}
    inputs: {text: "${{parent.inputs.words}}"}
    outputs: {out: }
  b:
    type: command
    component: {command: ls, environment: "azureml:x:1"}
    compute: ${{parent.inputs.where}}
    inputs:
      one: ${{parent.jobs.a.outputs.out}}
      two: {type: uri_folder, path: "${{parent.jobs.a.outputs.out}}", mode: ro_mount}
    outputs: {best: "${{parent.outputs.model}}"}
  c:
    type: parallel
    inputs: {data: "${{parent.jobs.a.outputs.out}}"}
    outputs: {file: {type: uri_file}}
    input_data: ${{inputs.data}}
    mini_batch_size: "10kb"
    retry_settings: {max_retries: 2, timeout: 60}
    task:
      type: run_function
      entry_script: score.py
      environment: {name: prs, version: 1, image: "python:3.11"}
      append_row_to: ${{outputs.file}}
  d:
    type: sweep
    trial: azureml:train:1
    search_space: {rate: {type: loguniform, min_value: -6, max_value: -1}}
    objective: {goal: maximize, primary_metric: accuracy}
  e:
    type: pipeline
    jobs: {inner: {component: "azureml:x:1"}}
""",
    "commandComponent": """
type: command
name: train_it
version: 01
is_deterministic: 'True'
inputs:
  data: {type: uri_folder, description: rows}
  epochs: {type: integer, default: 3, min: 1, max: 10}
  rate: {type: number, default: 0.1, optional: true}
  how: {type: string, enum: [fast, slow], default: fast}
  deep: {type: boolean, default: false}
outputs: {model: {type: mlflow_model}, log: }
environment: azureml:sklearn-1.5@latest
command: train --data ${{inputs.data}} $[[--rate ${{inputs.rate}}]] --out ${{outputs.model}}
resources: {instance_count: 2}
distribution: {type: PyTorch, process_count_per_instance: 2}
""",
    "parallelComponent": """
type: parallel
name: score_all
inputs: {data: {type: uri_folder}}
outputs: {file: {type: uri_file}}
input_data: ${{inputs.data}}
mini_batch_size: 5
max_concurrency_per_instance: 2
error_threshold: -1
task: {entry_script: score.py, environment: "azureml:x:1", program_arguments: "--in ${{inputs.data}}"}
""",
    "sweepComponent": """
type: sweep
name: search_it
version: 1
inputs: {data: {type: uri_folder}}
outputs: {best: {type: custom_model}}
trial: {command: "t --d ${{inputs.data}} --r ${{search_space.r}}", environment: "azureml:x:1"}
search_space: {r: {type: uniform, min_value: 0, max_value: 1}}
objective: {goal: minimize, primary_metric: loss}
sampling_algorithm: random
""",
    "pipelineComponent": """
type: pipeline
name: both
version: 1
inputs: {rate: {type: number, default: 0.1}}
outputs: {model: {type: uri_folder}}
jobs:
  one:
    component: azureml:train@latest
    inputs: {rate: "${{parent.inputs.rate}}"}
    outputs: {model: "${{parent.outputs.model}}"}
""",
    "data": "name: iris\nversion: 2\ntype: uri_file\npath: https://example.org/iris.csv\ntags: {a: 1}\nproperties:\n",
    "mltable": """
paths:
  - file: https://example.org/iris.csv
  - pattern: ./*.csv
transformations:
  - read_delimited: {delimiter: ",", header: all_files_same_headers}
  - take: 10
""",
    "model": """
name: iris
type: mlflow_model
path: runs:/0123/model
stage: Production
flavors: {sklearn: {version: 1}}
""",
    "environment": "name: env\nversion: '1'\nimage: debian:12\nos_type: Linux\ntags: {a: b}\n",
    "condaFile": "name: env\nchannels: [conda-forge]\ndependencies: [python=3.10, pip, {pip: [numpy]}]\n",
    "azureBlob": "type: azure_blob\nname: b\naccount_name: a\ncontainer_name: c\ncredentials: {account_key: XXX}\n",
    "azureFile": "type: azure_file\nname: f\naccount_name: a\nfile_share_name: s\ncredentials: {sas_token: '?x=y'}\n",
    "azureDataLakeGen2": """
type: azure_data_lake_gen2
name: g2
account_name: a
filesystem: f
credentials: {tenant_id: t, client_id: c, client_secret: s}
""",
    "azureDataLakeGen1": "type: azure_data_lake_gen1\nname: g1\nstore_name: s\n",
    "folderDatastore": "type: folder\nname: here\npath: /srv/data\nread_only: 'True'\n",
    "s3Datastore": """
type: s3
name: minio
bucket: rows
endpoint: http://127.0.0.1:9000
path_style: true
credentials: {access_key_id: AK, secret_access_key: SK}
""",
    "gcsDatastore": "type: gcs\nname: g\nbucket: b\nprefix: a/b\ncredentials: {service_account_key: '{}'}\n",
    "sftpDatastore": "type: sftp\nname: s\nhost: files.example\nport: 22\ncredentials: {username: b, password: pw}\n",
    "httpDatastore": "type: http\nname: w\nurl: https://example.org/data\ncredentials: {token: t}\n",
    "amlCompute": """
type: amlcompute
name: cpu
size: STANDARD_DS3_v2
min_instances: 0
max_instances: 2
idle_time_before_scale_down: 120
tier: low_priority
ssh_settings: {admin_username: ada, admin_password: secret}
""",
    "computeInstance": "type: computeinstance\nname: mine\nidle_time_before_shutdown_minutes: 30\n",
    "kubernetesCompute": "type: kubernetes\nname: k\nnamespace: ml\nresource_id: /subscriptions/x\n",
    "vmCompute": "type: virtualmachine\nname: vm\nresource_id: /subscriptions/x\nssh_settings: {admin_username: a}\n",
    "onlineEndpoint": "name: my-endpoint\nauth_mode: Key\ntraffic: {blue: 90, green: 10}\ntags: {a: b}\n",
    "batchEndpoint": "name: batch-one\nauth_mode: aad_token\ndefaults: {deployment_name: one}\n",
    "invocation": "inputs:\n  rows: {type: uri_folder, path: 'azureml:r:1'}\n  how: {type: string, default: append}\n",
    "onlineDeployment": """
name: blue
endpoint_name: my-endpoint
model: {name: iris, version: 2, path: 'azureml://datastores/d/paths/m', type: mlflow_model}
environment:
  image: python:3.11
  inference_config: {scoring_route: {path: /score, port: 5001}}
environment_variables: {WORKERS: 2}
instance_type: Standard_DS3_v2
instance_count: 1
request_settings: {request_timeout_ms: 3000, max_queue_wait_ms: 500}
liveness_probe: {initial_delay: 10, period: 10, timeout: 2, failure_threshold: 3}
scale_settings: {type: default}
data_collector: {collections: {model_inputs: {enabled: 'true'}}}
""",
    "modelBatchDeployment": """
type: model
name: one
endpoint_name: batch-one
model: azureml:iris@latest
compute: azureml:batch-cluster
resources: {instance_count: 2}
settings:
  mini_batch_size: 2
  max_concurrency_per_instance: 2
  output_action: append_row
  retry_settings: {max_retries: 3, timeout: 300}
  error_threshold: -1
""",
    "pipelineComponentBatchDeployment": """
type: pipeline
name: flow-one
endpoint_name: batch-one
component: azureml:both@latest
settings: {default_compute: batch-cluster, continue_on_step_failure: false}
""",
    "schedule": """
name: nightly
display_name: Nightly
is_enabled: true
trigger:
  type: recurrence
  frequency: Week
  interval: 1
  schedule: {hours: [4, 5], minutes: 30, week_days: [monday, Friday]}
  start_time: "2026-07-10T10:00:00"
  time_zone: Pacific Standard Time
create_job:
  type: pipeline
  job: azureml:flow-1
  inputs: {words: "${{name}}"}
  settings: {force_rerun: true}
""",
    "workspace": "name: lab-1\ndisplay_name: Lab\nlocation: eastus\nhbi_workspace: false\ntags: {a: b}\n",
}
