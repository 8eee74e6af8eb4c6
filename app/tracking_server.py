"""The tracking process: MLflow's own server, which leaves when its supervisor is gone."""

import signal
import subprocess
import sys

from app.orphan import exit_with_supervisor


def main() -> None:
    """Runs `mlflow` with the arguments given; its workers end with it."""
    exit_with_supervisor()
    process = subprocess.Popen([sys.executable, "-m", "mlflow", *sys.argv[1:]])
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    signal.signal(signal.SIGINT, lambda *_: process.terminate())
    sys.exit(process.wait())


if __name__ == "__main__":
    main()
