# Countersign in one image: `manage.py up` with DATABASE_URL, or one of web, worker and clock per container (compose.yaml).
FROM python:3.12-slim

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008  Debian's stable release pins these better than we could
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap chromium-headless-shell fonts-dejavu-core tmux \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home countersign \
 && install -d -o countersign -g countersign -m 0711 /data

WORKDIR /app
# --build-arg MODELS=1: with the SDKs that talk to models
ARG MODELS=
COPY requirements.lock requirements-models.lock ./
RUN pip install --no-cache-dir --require-hashes -r "requirements${MODELS:+-models}.lock"
COPY . .
RUN python -m compileall -q accounts approvals billing config database inference machines mcp_server runs web workflows

USER countersign
ENV DATA_DIR=/data HOST=0.0.0.0 PORT=8000 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=4)"]
CMD ["python", "manage.py", "up"]
