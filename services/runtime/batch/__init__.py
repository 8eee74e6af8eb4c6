"""The mini-batch driver: runs inside a job's container, on any Python from 3.8, and imports nothing of ours.

One process deals out mini-batches, others work on them: `main` → `driver` | `worker`. Settings come as JSON in the
variable ATELIER_BATCH_SETTINGS (`settings`), and as switches among the program's arguments.
"""
