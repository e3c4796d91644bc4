# Training (no Dlib, no OpenCV); torch brings CUDA.  docker build -f docker/train.Dockerfile -t mol-train .
FROM python:3.11-slim-bookworm AS builder
WORKDIR /source
RUN python -m venv /opt/mol
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY mol_pipeline mol_pipeline
COPY mol_model mol_model
RUN /opt/mol/bin/pip install --no-cache-dir -c constraints.txt '.[train]'

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="moltrain" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --uid 1000 mol
COPY --from=builder /opt/mol /opt/mol
USER mol
WORKDIR /work
HEALTHCHECK CMD ["/opt/mol/bin/moltrain", "--version"]
ENTRYPOINT ["/opt/mol/bin/moltrain"]
