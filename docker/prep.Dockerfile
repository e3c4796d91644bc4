# Preparation (CPU, no torch).  docker build -f docker/prep.Dockerfile -t mol-prep .
FROM python:3.11-slim-bookworm AS builder
WORKDIR /source
RUN python -m venv /opt/mol
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY mol_pipeline mol_pipeline
COPY mol_model mol_model
RUN /opt/mol/bin/pip install --no-cache-dir -c constraints.txt '.[prep]'

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="molprep" \
      org.opencontainers.image.licenses="Apache-2.0"
# libgl1 and libglib2.0-0: the plain OpenCV wheel links them.
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* && useradd --create-home --uid 1000 mol
COPY --from=builder /opt/mol /opt/mol
USER mol
WORKDIR /work
HEALTHCHECK CMD ["/opt/mol/bin/molprep", "--version"]
ENTRYPOINT ["/opt/mol/bin/molprep"]
