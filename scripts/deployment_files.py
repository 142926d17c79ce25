"""The files of ``deploy/`` that repeat what stands elsewhere: what the images hold, and how they are built.

The packages are those of ``leadwise.registry.package``, at the versions of the lock files; ``make lock`` writes
``deploy/*.lock`` from ``deploy/*.in``.
"""

import tomllib
from textwrap import dedent

from leadwise import SETTINGS, __version__
from leadwise.config import PROJECT_ROOT
from leadwise.registry.package import SERVED_PACKAGES

TRACKING_PACKAGES = ("mlflow", "psycopg[binary]")
PAGE_EXTRAS = ("app", "formats")
USER = "10001"
LABEL = f"LABEL org.opencontainers.image.version={__version__}"
"""Last in each stage: with a new number every layer is still that of the build before."""
QUIET = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "ORT_DISABLE_TELEMETRY")
"""What keeps the packages of the images from calling home."""

COMMANDS = {
    "tracking": (
        "exec mlflow server --host 0.0.0.0 --port 5000 --workers 1"
        ' --backend-store-uri "${DATABASE_URI:?postgresql+psycopg://USER@HOST/DATABASE is needed}"'
        ' --artifacts-destination /artifacts --allowed-hosts "$ALLOWED_HOSTS"'
    ),
    "scorer": (
        ': "${MLFLOW_TRACKING_URI:?the address of the tracking server is needed}";'
        ' exec mlflow models serve --model-uri "$MODEL_URI" --env-manager local'
        ' --host 0.0.0.0 --port 5001 --workers "$WORKERS"'
    ),
    "page": (
        'exec python -m leadwise.cli app --address 0.0.0.0 --port 8501 --url "$URL" --model "$MODEL_URI"'
        ' --embed-from "$EMBED_FROM"'
    ),
}
"""What each image runs, in a shell that says which variable is missing."""


def dockerfile(python_version: str, notice: str) -> str:
    """deploy/Dockerfile: tracking server, scorer and page; the code of the scorer comes with the model."""
    quiet = " ".join(map(_setting, QUIET))
    base = f"""\
        # {notice}

        FROM python:{python_version}-slim-bookworm AS base
        ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \\
            {quiet}
        RUN groupadd --gid {USER} leadwise \\
            && useradd --uid {USER} --gid {USER} --create-home --shell /usr/sbin/nologin leadwise
        WORKDIR /home/leadwise
        """
    tracking = f"""\
        FROM base AS tracking
        COPY tracking.lock /opt/tracking.lock
        RUN python -m pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r /opt/tracking.lock \\
            && install --directory --owner {USER} --group {USER} /artifacts
        ENV ALLOWED_HOSTS=tracking:5000,localhost:*,127.0.0.1:* MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
        USER {USER}:{USER}
        EXPOSE 5000
        HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=3 CMD {_health(5000, "health")}
        CMD {_shell("tracking")}
        {LABEL}
        """
    scorer = f"""\
        FROM base AS scorer
        COPY scorer.lock /opt/scorer.lock
        RUN python -m pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r /opt/scorer.lock
        ENV MODEL_URI=models:/leadwise@champion WORKERS=1
        USER {USER}:{USER}
        EXPOSE 5001
        HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=3 CMD {_health(5001, "ping")}
        CMD {_shell("scorer")}
        {LABEL}
        """
    page = f"""\
        FROM base AS page
        COPY page.lock /opt/page.lock
        RUN python -m pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r /opt/page.lock
        COPY --from=checkout src /opt/leadwise
        COPY --from=checkout pipelines/configurations /opt/leadwise/leadwise/configurations
        ENV PYTHONPATH=/opt/leadwise HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib URL= MODEL_URI= EMBED_FROM= \\
            STREAMLIT_SERVER_HEADLESS=true {_setting("STREAMLIT_BROWSER_GATHER_USAGE_STATS")}
        USER {USER}:{USER}
        WORKDIR /tmp
        EXPOSE 8501
        HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=3 CMD {_health(8501, "_stcore/health")}
        CMD {_shell("page")}
        {LABEL}
        """
    return "\n".join(map(dedent, (base, tracking, scorer, page)))


def _setting(name: str) -> str:
    return f"{name}={SETTINGS[name]}"


def _health(port: int, path: str) -> str:
    program = f"from urllib.request import urlopen; urlopen('http://127.0.0.1:{port}/{path}', timeout=4)"
    return f'["python", "-c", "{program}"]'


def _shell(image: str) -> str:
    quoted = COMMANDS[image].replace("\\", "\\\\").replace('"', '\\"')
    return f'["bash", "-c", "{quoted}"]'


def scorer_packages(notice: str) -> str:
    """deploy/scorer.in."""
    return "\n".join([f"# {notice}", *SERVED_PACKAGES]) + "\n"


def tracking_packages(notice: str) -> str:
    """deploy/tracking.in."""
    return "\n".join([f"# {notice}", *TRACKING_PACKAGES]) + "\n"


def page_packages(notice: str) -> str:
    """deploy/page.in: what pyproject.toml asks for, with the extras of the page."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [package for extra in PAGE_EXTRAS for package in project["optional-dependencies"][extra]]
    return "\n".join([f"# {notice}", *sorted({*project["dependencies"], *extras})]) + "\n"
