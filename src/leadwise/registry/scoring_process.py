"""MLflow's scoring server in one process: a script that ``leadwise serve`` becomes. It imports nothing of Leadwise.

A registered model brings the code that answers with it, which must not find another Leadwise loaded before it.
`mlflow models serve` starts the same server as a child and waits beside it: twice the import of MLflow, and 200 MiB.

    python -P scoring_process.py MODEL_URI ADDRESS PORT WORKERS
"""

import os
import sys

APPLICATION = "mlflow.pyfunc.scoring_server.app:app"
MODEL_VARIABLE = "__pyfunc_model_path__"
"""Where that application looks for its model."""


def main() -> None:
    """Load the model and answer until the process is told to end."""
    uri, address, port, workers = sys.argv[1:]
    os.environ[MODEL_VARIABLE] = uri
    import uvicorn
    from mlflow.exceptions import MlflowException

    try:
        # Here, where one worker needs it, and where an error can be told in a line before several are started.
        from mlflow.pyfunc.scoring_server.app import app
    except (MlflowException, OSError) as error:
        sys.exit(f"leadwise serve: error: {uri}: cannot be served: {str(error).partition(chr(10))[0][:300]}")
    uvicorn.run(app if workers == "1" else APPLICATION, host=address, port=int(port), workers=int(workers), ws="none")


if __name__ == "__main__":
    main()
